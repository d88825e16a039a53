#!/bin/sh
# wat::Error::set_path has no effect on a syntax error that already has a path; it replaces the path of other errors.
#
# Expected: a setter replaces the value; the documentation says that the path "will be stored" and shown.
# Seen with crates.io wat 1.263.0 (wast 263.0.0): the error of Parser::parse_str(Some(path), text) shows the first path whatever is
# set afterwards, and the error of parse_file shows the path that is set. A program that replaces a path before showing the error, to
# escape it or to make it relative, must parse without a path and set it then.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir src
cat > Cargo.toml <<'END'
[package]
name = "set-path"
version = "0.0.0"
edition = "2024"

[dependencies]
wast = "=263.0.0"
wat = "=1.263.0"

[workspace]
END
cat > src/main.rs <<'END'
use std::path::Path;

fn main() {
    let text = "(module (func (call $missing)))";
    let mut syntax = wat::Parser::new().parse_str(Some(Path::new("first")), text).unwrap_err();
    syntax.set_path("second");
    assert!(syntax.to_string().contains("first:1:21") && !syntax.to_string().contains("second"), "{syntax}");

    let mut without = wat::parse_str(text).unwrap_err();
    without.set_path("second");
    assert!(without.to_string().contains("second:1:21"), "{without}");

    let mut missing = wat::parse_file("no-such-file").unwrap_err();
    missing.set_path("second");
    assert!(missing.to_string().contains("second") && !missing.to_string().contains("no-such-file"), "{missing}");
    println!("a syntax error keeps its first path, another error takes the new one");
}
END
cargo run --quiet
