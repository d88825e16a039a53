//! Whether a host without the compiler is small, and runs what the program compiled.
//!
//! In: `examples/artifact_host`, and the program `belljar` of the same sources. Out: the host's size, and an error if it is
//! too large, depends on the compiler, or computes something else. Never: a workspace that enables features for it.

use crate::cargo::{cargo, output, root, target};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The largest host in bytes.
const MOST_BYTES: u64 = 4_000_000;

/// A guest whose functions and imports need all kinds of code between host and guest.
const GUEST: &str = r#"(module
    (import "host" "log" (func $log (param i64)))
    (import "host" "show" (func $show (param i32 f64)))
    (func $gcd (export "gcd") (param i32 i32) (result i32)
        (if (result i32) (i32.eqz (local.get 1))
            (then (local.get 0))
            (else (call $gcd (local.get 1) (i32.rem_u (local.get 0) (local.get 1))))))
    (func (export "show") (param i32 f64) (result i64 f32)
        (call $show (local.get 0) (local.get 1))
        (call $log (i64.extend_i32_s (local.get 0)))
        (i64.const 7) (f32.const 1.5))
    (func (export "nine") (param i32 i64 f32 f64 i32 i64 f32 f64 i32) (result i64)
        (i64.add (local.get 1) (i64.extend_i32_s (local.get 8))))
    (func (export "trap") unreachable))"#;

/// Calls, and what the host prints.
const CALLS: &[(&[&str], &str)] = &[
    (&["gcd", "1071", "462"], "[I32(21)]\n"),
    (
        &["show", "-5", "0.5"],
        "guest shows [I32(-5), F64(4602678819172646912)]\nguest says -5\n[I64(7), F32(1069547520)]\n",
    ),
    (&["nine", "1", "2", "3", "4", "5", "6", "7", "8", "9"], "[I64(11)]\n"),
];

/// Builds the host and checks it.
pub(crate) fn run(belljar: Option<PathBuf>) -> Result<()> {
    let directory = root().join("examples/artifact_host");
    let tree =
        output(cargo(&directory).args(["tree", "--locked", "--edges", "normal,build", "--prefix", "none"]))?;
    for unwanted in ["cranelift", "regalloc2", "wast", "wat "] {
        let found = tree.lines().find(|line| line.starts_with(unwanted));
        ensure!(found.is_none(), "the host without a compiler depends on {}", found.unwrap_or_default());
    }
    let built = target().join("artifact-host");
    output(
        cargo(&directory).args(["build", "--locked", "--release", "--quiet"]).env("CARGO_TARGET_DIR", &built),
    )?;
    let host = built.join("release/artifact_host");
    let bytes = fs::metadata(&host)?.len();
    println!("the host without a compiler has {bytes} bytes and {} dependencies", tree.lines().count());
    ensure!(bytes <= MOST_BYTES, "the host may have {MOST_BYTES} bytes, but has {bytes}");

    let belljar = belljar.unwrap_or_else(|| target().join("release/belljar"));
    let scratch = tempfile::tempdir()?;
    let (guest, artifact) = (scratch.path().join("guest.wat"), scratch.path().join("guest.elf"));
    fs::write(&guest, GUEST)?;
    // A key of its own, so that the check leaves nothing in the user's directories.
    let with_own_key = |program: &Path| {
        let mut command = Command::new(program);
        command.env("XDG_STATE_HOME", scratch.path());
        command
    };
    let mut compile = with_own_key(&belljar);
    compile.arg("compile").arg(&guest).arg("-o").arg(&artifact);
    output(&mut compile).context("build the program first: cargo build --release -p belljar-cli")?;
    for (words, expected) in CALLS {
        let printed = output(with_own_key(&host).arg(&artifact).args(*words))?;
        ensure!(printed == *expected, "{words:?}: expected {expected:?}, found {printed:?}");
    }
    let trap = with_own_key(&host).arg(&artifact).arg("trap").output()?;
    let message = String::from_utf8_lossy(&trap.stderr);
    ensure!(!trap.status.success() && message.contains("unreachable"), "a trap: {message}");
    println!("it runs what the program compiled");
    Ok(())
}
