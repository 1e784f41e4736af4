#!/bin/sh
# Installs the foreign protocol stacks beside this file: npm's into node_modules/, PyPI's into
# venv/. Does nothing where they stand already as pinned.
set -eu
cd "$(dirname "$0")"

if ! cmp -s requirements.txt venv/installed.txt; then
    python3 -m venv --clear venv
    venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
    cp requirements.txt venv/installed.txt
fi

if ! cmp -s package-lock.json node_modules/installed.json; then
    npm ci --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/installed.json
fi
