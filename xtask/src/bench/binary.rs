//! The measured programs, built on first use.

use super::directories::Directories;
use super::ubench;
use anyhow::{Context, Result, bail};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A measured program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Binary {
    /// The program that users run.
    Belljar,
    /// belljar with the commands of `bench-runner`.
    BenchBelljar,
    /// Wasmtime with the same commands.
    RivalWasmtime,
    /// Wasmi with the same commands.
    RivalWasmi,
    /// A program that measures the minimal cost of a kill on a machine.
    BareSignal,
    /// The kernels compiled natively.
    NativeUbench,
}

impl Binary {
    /// The target's name, and how cargo builds it: a subcommand, then its options. All are built alike: optimized
    /// across crates, like programs for distribution.
    fn cargo(self) -> Option<(&'static str, &'static str, &'static [&'static str])> {
        const RIVALS: &[&str] = &["--release", "--manifest-path", "rivals/Cargo.toml"];
        // Like the alias `cargo dist`, which takes no options.
        const DIST: &[&str] =
            &["--profile", "dist", "--package", "belljar-cli", "--", "-C", "target-feature=+crt-static"];
        const OURS: &[&str] = &["--profile", "dist", "--package", "bench-runner", "--features", "belljar"];
        match self {
            Self::Belljar => Some(("belljar", "rustc", DIST)),
            Self::BenchBelljar => Some(("bench-belljar", "build", OURS)),
            Self::RivalWasmtime => Some(("rival-wasmtime", "build", RIVALS)),
            Self::RivalWasmi => Some(("rival-wasmi", "build", RIVALS)),
            Self::BareSignal => Some(("bare-signal", "build", RIVALS)),
            Self::NativeUbench => None,
        }
    }
}

/// The programs built so far. A failed build is not repeated.
pub(crate) struct Binaries<'a> {
    dirs: &'a Directories,
    built: RefCell<HashMap<Binary, Result<PathBuf, String>>>,
}

impl<'a> Binaries<'a> {
    pub(crate) fn new(dirs: &'a Directories) -> Self {
        Self { dirs, built: RefCell::default() }
    }

    /// Returns the path of the program.
    pub(crate) fn path(&self, binary: Binary) -> Result<PathBuf> {
        if let Some(known) = self.built.borrow().get(&binary) {
            return known.clone().map_err(anyhow::Error::msg);
        }
        let built = match binary.cargo() {
            Some((name, subcommand, options)) => self.cargo_build(name, subcommand, options),
            None => ubench::build_native(self.dirs),
        };
        let built = built.map_err(|error| format!("{error:#}"));
        self.built.borrow_mut().insert(binary, built.clone());
        built.map_err(anyhow::Error::msg)
    }

    fn cargo_build(&self, name: &str, subcommand: &str, options: &[&str]) -> Result<PathBuf> {
        eprintln!("building {name}");
        let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .current_dir(&self.dirs.root)
            .args([subcommand, "--quiet", "--message-format", "json-render-diagnostics", "--bin", name])
            .args(options)
            .stderr(Stdio::inherit())
            .output()
            .context("cargo does not start")?;
        if !output.status.success() {
            bail!("{name} does not build");
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let executable = messages.lines().rev().find_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            (message["target"]["name"] == name).then(|| message["executable"].as_str().map(PathBuf::from))?
        });
        executable.with_context(|| format!("cargo names no executable for {name}"))
    }
}
