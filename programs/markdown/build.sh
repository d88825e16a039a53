#!/bin/sh
# Builds markdown.wasm. Needs Python and the package `ziglang` (python3 -m pip install ziglang==0.17.0).
set -eu
cd "$(dirname "$0")"
python3 -m ziglang cc -target wasm32-wasi -O2 -Wall -Wextra -o markdown.wasm markdown.c

# The C library's debug information is 25 times the size of the program. Function names stay, for backtraces.
python3 - markdown.wasm <<'EOF'
import pathlib, sys

file = pathlib.Path(sys.argv[1])
wasm = file.read_bytes()


def leb128(at):
    value = shift = 0
    while True:
        byte = wasm[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


kept, at = wasm[:8], 8
while at < len(wasm):
    size, start = leb128(at + 1)
    length, name = leb128(start)
    is_debug = wasm[at] == 0 and wasm[name : name + length].startswith(b".debug_")
    if not is_debug:
        kept += wasm[at : start + size]
    at = start + size
file.write_bytes(kept)
EOF
