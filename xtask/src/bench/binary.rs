//! The programs that are run, built when they are first needed.

use super::place::Place;
use super::ubench;
use anyhow::{Context, Result, bail};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A program that is run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Binary {
    /// The program that users run.
    Belljar,
    /// belljar with the commands of `bench-runner`.
    BenchBelljar,
    /// Wasmtime with them.
    RivalWasmtime,
    /// Wasmi with them.
    RivalWasmi,
    /// The kernels compiled natively.
    NativeUbench,
}

impl Binary {
    /// The target's name, and what cargo builds it with.
    fn cargo(self) -> Option<(&'static str, &'static [&'static str])> {
        const RIVALS: &[&str] = &["--manifest-path", "rivals/Cargo.toml"];
        match self {
            Self::Belljar => Some(("belljar", &["--package", "belljar-cli"])),
            Self::BenchBelljar => {
                Some(("bench-belljar", &["--package", "bench-runner", "--features", "belljar"]))
            }
            Self::RivalWasmtime => Some(("rival-wasmtime", RIVALS)),
            Self::RivalWasmi => Some(("rival-wasmi", RIVALS)),
            Self::NativeUbench => None,
        }
    }
}

/// The programs built so far. One that cannot be built is not tried again.
pub(crate) struct Binaries<'a> {
    place: &'a Place,
    built: RefCell<HashMap<Binary, Result<PathBuf, String>>>,
}

impl<'a> Binaries<'a> {
    pub(crate) fn new(place: &'a Place) -> Self {
        Self { place, built: RefCell::default() }
    }

    /// Where the program is.
    pub(crate) fn path(&self, binary: Binary) -> Result<PathBuf> {
        if let Some(known) = self.built.borrow().get(&binary) {
            return known.clone().map_err(anyhow::Error::msg);
        }
        let built = match binary.cargo() {
            Some((name, args)) => self.cargo_build(name, args),
            None => ubench::build_native(self.place),
        };
        let built = built.map_err(|error| format!("{error:#}"));
        self.built.borrow_mut().insert(binary, built.clone());
        built.map_err(anyhow::Error::msg)
    }

    fn cargo_build(&self, name: &str, args: &[&str]) -> Result<PathBuf> {
        eprintln!("building {name}");
        let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .current_dir(&self.place.root)
            .args(["build", "--release", "--quiet", "--message-format", "json-render-diagnostics"])
            .args(["--bin", name])
            .args(args)
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
