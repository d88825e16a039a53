#!/bin/sh
# Decoded to WIT, a component loses its imports of core modules without a word, and its exports of core modules are an error.
#
# Expected: both are errors, or both are left out, because WIT has no words for core modules.
# Seen with crates.io wit-component 0.263.0 (wit-parser 0.263.0): of a valid component that imports the core module `m`, `decode` returns a
# world without imports, so a host that reads the WIT to find out what to provide cannot instantiate the component. For one that exports a
# core module it returns an error. Such components have to be recognized by their binary import section.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir src
cat > Cargo.toml <<'END'
[package]
name = "core-module-import"
version = "0.0.0"
edition = "2024"

[dependencies]
wat = "=1.263.0"
wit-component = "=0.263.0"
wit-parser = "=0.263.0"

[workspace]
END
cat > src/main.rs <<'END'
use wit_component::{DecodedWasm, decode};

fn main() {
    let importing = wat::parse_str(r#"(component (import "m" (core module (import "a" "b" (func)))))"#).unwrap();
    let DecodedWasm::Component(resolve, world) = decode(&importing).unwrap() else { panic!("a package") };
    assert!(resolve.worlds[world].imports.is_empty());

    let exporting = wat::parse_str(r#"(component (core module $m) (export "m" (core module $m)))"#).unwrap();
    let error = decode(&exporting).err().expect("an error");
    println!("imported: left out; exported: {error:#}");
    assert!(format!("{error:#}").contains("was not a function or instance"), "{error:#}");
}
END
cargo run --quiet
