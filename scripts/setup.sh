#!/bin/sh
# Make the virtual environment and install the pinned requirements; quiet and quick when there is nothing to do.
# Usage: scripts/setup.sh [--dev]
# $PYTHON chooses the interpreter, $VENV the directory (.venv).
set -eu
cd "$(dirname "$0")/.."

venv=${VENV:-.venv}
requirements="requirements.txt"
if [ "${1:-}" = "--dev" ]; then
    requirements="requirements-dev.txt"
fi

is_new_enough() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
        if is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "No Python 3.11 or newer (with venv) found; install one or run: PYTHON=/path/to/python3 make up" >&2
    exit 1
}

# The development requirements contain the others, so a stamp of theirs serves both.
stamp_of() {
    cksum <"$1" | tr ' ' '-'
}
stamp=$venv/.installed
wanted="$requirements $(stamp_of "$requirements")"
all="requirements-dev.txt $(stamp_of requirements-dev.txt)"
if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && grep -qxF -e "$wanted" -e "$all" "$stamp"; then
    exit 0
fi

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c pass 2>/dev/null; then
    python=$(find_python)
    echo "Making $venv with $("$python" --version) …"
    "$python" -m venv --clear "$venv"
fi
echo "Installing $requirements …"
log=$venv/install.log
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r "$requirements" >"$log" 2>&1; then
    cat "$log" >&2
    echo "Installing $requirements failed (see above)." >&2
    exit 1
fi
echo "$wanted" >"$stamp"
