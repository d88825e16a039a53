#!/bin/sh
# A `dylink.0` section and imports from `GOT.func` do not imply a side module: Emscripten's main modules have them, too.
#
# Expected: a module with `dylink.0`, or with imports from `GOT.func`, is a side module, which a main program loads.
# Seen with npm @php-wasm/web-8-4 3.1.54 (PHP 8.4 as a program): its asyncify build has `dylink.0`, imports from `GOT.func`, and is
# the main module: it exports `memory` and `__stack_pointer`, and does not import `env.__memory_base`. A side module (npm
# tree-sitter-wasms 0.1.13) imports all three, so `env.__memory_base` is what tells them apart.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm pack --silent @php-wasm/web-8-4@3.1.54 tree-sitter-wasms@0.1.13 > /dev/null
mkdir php tree-sitter
tar xzf php-wasm-web-8-4-3.1.54.tgz -C php
tar xzf tree-sitter-wasms-0.1.13.tgz -C tree-sitter
cat > look.js <<'EOF'
const assert = require("assert");
const look = (file) => {
    const module = new WebAssembly.Module(require("fs").readFileSync(file));
    const imports = WebAssembly.Module.imports(module).map((i) => `${i.module}.${i.name}`);
    const exports = WebAssembly.Module.exports(module).map((e) => e.name);
    const sections = (name) => WebAssembly.Module.customSections(module, name).length;
    return { imports, exports, sections };
};
const main = look("php/package/asyncify/8_4_25/php_8_4.wasm");
assert(main.sections("dylink.0") === 1, "the main module has no dylink.0");
assert(main.imports.some((name) => name.startsWith("GOT.func.")), "the main module imports nothing from GOT.func");
assert(main.exports.includes("memory") && main.exports.includes("__stack_pointer"), "the main module does not export these");
assert(!main.imports.includes("env.__memory_base"), "the main module imports its place");
const side = look("tree-sitter/package/out/tree-sitter-css.wasm");
assert(side.imports.some((name) => name.startsWith("GOT.func.")), "the side module imports nothing from GOT.func");
for (const name of ["memory", "__stack_pointer", "__memory_base"]) {
    assert(side.imports.includes(`env.${name}`), `the side module does not import ${name}`);
}
EOF
node look.js
