#!/bin/sh
# Check clients/typescript (types, unit tests, dist/ and its sizes), or write its dist/ anew.
# Usage: scripts/node.sh sh scripts/clients.sh check|build
set -eu
cd "$(dirname "$0")/../clients/typescript"

stamp=node_modules/.installed
wanted=$(cksum <package-lock.json)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "Installing clients/typescript/package-lock.json …"
    npm ci --no-audit --no-fund --ignore-scripts --loglevel=error --fetch-timeout=60000
    echo "$wanted" >"$stamp"
fi

case ${1:-} in
check)
    node build.mjs --types
    node build.mjs --test
    node build.mjs --check
    ;;
build) node build.mjs ;;
*)
    echo "usage: $0 check|build" >&2
    exit 2
    ;;
esac
