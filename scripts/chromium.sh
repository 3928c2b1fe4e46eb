#!/bin/sh
# Make sure that there is a Chromium for the browser tests and print its path; quiet and quick where there is one.
# $CHROMIUM names another. Where there is none, root (or who may become root without a password) installs Debian's
# package. Without one the tests of tests/browser/ are skipped, and say so: this script never fails a run.
set -u

for candidate in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    if [ -n "$candidate" ] && found=$(command -v "$candidate"); then
        echo "$found"
        exit 0
    fi
done

skipped() {
    echo "*** NO BROWSER: the tests of tests/browser/ will be SKIPPED." >&2
    echo "*** $1" >&2
    echo "*** Install Chromium, or name one: CHROMIUM=/path/to/chromium make test" >&2
    exit 0
}

if [ "$(id -u)" = 0 ]; then
    root=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    root="sudo -n"
else
    skipped "There is no Chromium on PATH, and only root could install one."
fi
command -v apt-get >/dev/null || skipped "There is no Chromium on PATH, and no apt-get that could install one."

echo "Installing Chromium for the browser tests (apt-get, once) …" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    # shellcheck disable=SC2086 # $root is empty or two words
    timeout "$1" $root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=60 "$2" -y \
        --no-install-recommends ${3:+"$3"} >>"$log" 2>&1
}
apt 120 update || echo "apt-get update failed; trying what is known." >&2
if apt 480 install chromium && found=$(command -v chromium); then
    echo "$found"
    exit 0
fi
tail -n 5 "$log" >&2
skipped "apt-get could not install the package chromium (see above)."
