//! Whether the packages that would be published can be used: by a new crate, and to install the program.
//!
//! In: the workspace. Out: its packages, and checks of crates that depend on them instead of on the workspace. Never: the
//! workspace's sources, which have files that packages lack.

use crate::cargo::{cargo, output, root, target};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The largest package in bytes. The largest has 240 KB; ten times as much would be files that do not belong there.
const MOST_BYTES: u64 = 500_000;

/// Checks the packages.
pub(crate) fn run() -> Result<()> {
    let made = target().join("package");
    for old in packages(&made).unwrap_or_default() {
        fs::remove_file(old)?;
    }
    output(cargo(&root()).args(["package", "--workspace", "--locked", "--no-verify", "--quiet"]))?;
    let scratch = tempfile::tempdir()?;
    let mut patches = Vec::new();
    for package in packages(&made)? {
        let bytes = fs::metadata(&package)?.len();
        let stem = package.file_stem().context("a package has a name")?.to_string_lossy().into_owned();
        let name = stem.rsplit_once('-').context("a package's name ends with its version")?.0;
        if !is_published(name) {
            continue;
        }
        println!("{name:<20} {bytes:>7} bytes");
        ensure!(bytes <= MOST_BYTES, "{name} has {bytes} bytes: set what it includes in its Cargo.toml");
        output(Command::new("tar").arg("-xzf").arg(&package).arg("-C").arg(scratch.path()))?;
        let unpacked = scratch.path().join(&stem);
        for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
            ensure!(unpacked.join(license).exists(), "{name} has no {license}");
        }
        patches.push(format!("patch.crates-io.{name}.path={:?}", unpacked));
    }
    ensure!(!patches.is_empty(), "there are no packages");
    let check = |directory: &Path| {
        let mut command = cargo(directory);
        command.args(["check", "--quiet"]).env("CARGO_TARGET_DIR", target());
        command.args(patches.iter().flat_map(|patch| ["--config", patch]));
        output(&mut command)
    };
    check(&new_crate(scratch.path())?).context("a crate that depends on belljar")?;
    let program = fs::read_dir(scratch.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("belljar-cli-")));
    check(&program.context("belljar-cli is not published")?).context("installing belljar-cli")?;
    println!("a new crate and the program build from these packages");
    Ok(())
}

/// Returns whether a package of the workspace is meant to be published.
fn is_published(name: &str) -> bool {
    name == "belljar"
        || (name.starts_with("belljar-") && !matches!(name, "belljar-adversary" | "belljar-examples"))
}

/// Returns the files of packages in a directory.
fn packages(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(entries.filter(|path| path.extension().is_some_and(|extension| extension == "crate")).collect())
}

/// Creates what `cargo new` and `cargo add belljar` create, with a call of the library.
fn new_crate(directory: &Path) -> Result<PathBuf> {
    let directory = directory.join("new-crate");
    fs::create_dir_all(directory.join("src"))?;
    let manifest = "[package]\nname = \"new-crate\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\nbelljar = \
                    \"0.1.0\"\n\n[workspace]\n";
    fs::write(directory.join("Cargo.toml"), manifest)?;
    let main = "fn main() -> belljar::Result<()> {\n    let engine = belljar::Engine::default();\n    \
                belljar::Module::new(&engine, \"(module)\").map(drop)\n}\n";
    fs::write(directory.join("src/main.rs"), main)?;
    // The versions that the workspace is tested with.
    fs::copy(root().join("Cargo.lock"), directory.join("Cargo.lock"))?;
    Ok(directory)
}
