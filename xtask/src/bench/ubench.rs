//! The kernels: one C program, compiled to wasm in several ways, and natively here.

use super::directories::Directories;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

const DIRECTORY: &str = "bench/ubench";

/// Returns the kernels' names, each with the line that it prints. The error says what is missing.
pub(crate) fn kernels(dirs: &Directories) -> Result<Vec<(String, Vec<u8>)>, String> {
    let path = dirs.shared(&format!("{DIRECTORY}/expected.stdout"))?;
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let kernel = |line: &str| Some((line.split_once(' ')?.0.to_string(), format!("{line}\n").into_bytes()));
    Ok(text.lines().filter_map(kernel).collect())
}

/// Returns the program in one of its builds.
pub(crate) fn wasm(dirs: &Directories, build: &str) -> Result<PathBuf, String> {
    dirs.shared(&format!("{DIRECTORY}/wasm/{build}.wasm"))
}

/// Compiles the program natively in a copy of its directory: by its own script, which supports clang and gcc,
/// or by `cc` if neither is found.
pub(crate) fn build_native(dirs: &Directories) -> Result<PathBuf> {
    let copy = dirs.out.join("ubench");
    std::fs::create_dir_all(copy.join("src"))?;
    for file in ["build.sh", "src/ubench.c"] {
        let from = dirs.shared(&format!("{DIRECTORY}/{file}")).map_err(anyhow::Error::msg)?;
        // Permissions are not copied: they may be read-only.
        std::fs::write(copy.join(file), std::fs::read(from)?)?;
    }
    let native = copy.join("native");
    let builds = ["ubench.clang-O3", "ubench.gcc-O3", "ubench.cc-O3"].map(|name| native.join(name));
    let built = || builds.iter().find(|path| path.exists()).cloned();
    if let Some(done) = built() {
        return Ok(done);
    }
    eprintln!("building the kernels natively");
    // The script goes on to build wasm, which may fail: only the native program counts.
    Command::new("sh").arg(copy.join("build.sh")).output().context("no shell")?;
    if built().is_none() {
        std::fs::create_dir_all(&native)?;
        let mut cc = Command::new("cc");
        cc.args(["-O3", "-o"]).arg(&builds[2]).arg(copy.join("src/ubench.c")).arg("-lm");
        if !cc.output().is_ok_and(|o| o.status.success()) {
            bail!("there is no C compiler");
        }
    }
    built().context("the C compiler made no program")
}
