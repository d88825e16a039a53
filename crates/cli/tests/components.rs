//! Real components of public toolchains that are small enough to be in the repository: C and Rust for WASI 0.2. Those of Python
//! and JavaScript are made and run by `cargo xtask real-components`.
//!
//! `hello_c.wasm` is `hello_c.c`, compiled by clang 22 for `wasm32-wasip2` with Debian's wasi-libc, and linked by wasm-component-ld
//! 0.5. The sources of the Rust program are in `crates/wasi/tests/p2/guest`.

use std::path::Path;
use std::process::{Command, Output};

fn belljar(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_belljar"))
        .env("BELLJAR_CACHE", "off")
        .args(words)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/components"))
        .output()
        .unwrap()
}

fn ended(output: &Output) -> (Option<i32>, &str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn c_reads_and_writes_files() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("in.txt"), "one\ntwo\n").unwrap();
    let dir = format!("{}::/data", data.path().display());
    let output = belljar(&["run", "--dir", &dir, "--env", "NAME=Ada", "hello_c.wasm", "a", "b c"]);
    // WASI 0.2 knows success and failure; the exit code of C's `main` arrives as one of them.
    assert_eq!(ended(&output), (Some(1), "argument 1: a\nargument 2: b c\nname: Ada\n", ""));
    assert_eq!(std::fs::read_to_string(data.path().join("out.txt")).unwrap(), "> one\n> two\n");

    let output = belljar(&["run", "--dir", &dir, "hello_c.wasm"]);
    assert_eq!(ended(&output), (Some(0), "name: none\n", ""));

    // Nothing is granted by default.
    let (code, printed, errors) = (Some(1), "name: none\n", "no file: ");
    let output = belljar(&["run", "hello_c.wasm"]);
    let found = ended(&output);
    assert_eq!((found.0, found.1), (code, printed), "{}", found.2);
    assert!(found.2.starts_with(errors), "{}", found.2);
}

#[test]
fn c_runs_from_an_artifact() {
    let scratch = tempfile::tempdir().unwrap();
    let artifact = scratch.path().join("hello.elf");
    let artifact = artifact.to_str().unwrap();
    // A key of its own, so that nothing of the user's is needed.
    let run = |words: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_belljar"))
            .env("BELLJAR_CACHE", "off")
            .env("HOME", scratch.path())
            .env_remove("XDG_STATE_HOME")
            .args(words)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/components"))
            .output()
            .unwrap()
    };
    let output = run(&["compile", "hello_c.wasm", "-o", artifact]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("in.txt"), "text").unwrap();
    let dir = format!("{}::/data", data.path().display());
    let output = run(&["run", "--dir", &dir, artifact]);
    assert_eq!(ended(&output), (Some(0), "name: none\n", ""));
}

#[test]
fn rust_sees_its_surroundings() {
    let guest = "../../../wasi/tests/p2/guest.wasm";
    let output = belljar(&["run", "--env", "KEY=value", guest, "environment"]);
    let (code, printed, errors) = ended(&output);
    assert_eq!((code, errors), (Some(0), ""));
    let lines: Vec<_> = printed.lines().collect();
    assert!(lines[0].ends_with(r#"guest.wasm", "environment"]"#), "{printed}");
    assert_eq!(&lines[1..], [r#"[("KEY", "value")]"#, "None", "false"]);
    let output = belljar(&["run", guest, "exit", "0"]);
    assert_eq!(ended(&output), (Some(0), "", ""));
}
