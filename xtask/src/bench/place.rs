//! Where things are: the repository, its target directory, and the programs that it does not hold.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Where things are.
pub(crate) struct Place {
    /// The repository.
    pub(crate) root: PathBuf,
    /// The directory with large programs and kernels that are not in the repository.
    shared: PathBuf,
    /// Where results and temporary builds go.
    pub(crate) out: PathBuf,
}

impl Place {
    /// `shared`: where that directory is, if it is not beside the repository.
    pub(crate) fn new(shared: Option<&Path>) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the repository")?;
        let shared = shared.map_or_else(|| root.join("../shared"), Path::to_owned);
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let out = target.join("bench");
        std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
        Ok(Self { root: root.into(), shared: shared.canonicalize().unwrap_or(shared), out })
    }

    /// A file or directory of the shared ones; the error says that it is missing.
    pub(crate) fn shared(&self, path: &str) -> Result<PathBuf, String> {
        let path = self.shared.join(path);
        if path.exists() { Ok(path) } else { Err(format!("{} is missing", path.display())) }
    }
}
