#!/bin/sh
# Installs npm's servers beside this file, into node_modules/. Does nothing where they stand already as
# pinned. The others are Debian's: `.ci/run` names them.
set -eu
cd "$(dirname "$0")"

if ! cmp -s package-lock.json node_modules/installed.json; then
    npm ci --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/installed.json
fi
