//! Where things are: the repository, its target directory, and the programs that it does not hold.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Where things are.
pub(crate) struct Directories {
    /// The repository.
    pub(crate) root: PathBuf,
    /// The directory with large programs and kernels that are not in the repository.
    shared: PathBuf,
    /// Where temporary files and builds go.
    pub(crate) out: PathBuf,
    /// Where results go.
    pub(crate) results: PathBuf,
}

impl Directories {
    /// `shared`: where that directory is, if it is not beside the repository. `results`: where they go, if not with temporary files.
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

    /// A file or directory of the shared ones; the error says that it is missing.
    pub(crate) fn shared(&self, path: &str) -> Result<PathBuf, String> {
        let path = self.shared.join(path);
        if path.exists() { Ok(path) } else { Err(format!("{} is missing", path.display())) }
    }
}
