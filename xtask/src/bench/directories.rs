//! Paths: the repository, its target directory, and the programs that it does not contain.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The directories that the bench uses.
pub(crate) struct Directories {
    /// The repository.
    pub(crate) root: PathBuf,
    /// The directory with large programs and kernels that are not in the repository.
    shared: PathBuf,
    /// For temporary files and builds.
    pub(crate) out: PathBuf,
    /// For results.
    pub(crate) results: PathBuf,
}

impl Directories {
    /// `shared` is that directory, if it is not beside the repository; `results` is for results, if not with temporary files.
    pub(crate) fn new(shared: Option<&Path>, results: Option<&Path>) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the repository")?;
        let shared = shared.map_or_else(|| root.join("../shared"), Path::to_owned);
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let out = target.join("bench");
        let results = results.map_or_else(|| out.clone(), Path::to_owned);
        for directory in [&out, &results] {
            std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        }
        Ok(Self { root: root.into(), shared: shared.canonicalize().unwrap_or(shared), out, results })
    }

    /// Returns a shared file or directory, or an error that says that it is missing.
    pub(crate) fn shared(&self, path: &str) -> Result<PathBuf, String> {
        let path = self.shared.join(path);
        if path.exists() { Ok(path) } else { Err(format!("{} is missing", path.display())) }
    }
}
