//! Directories that only this user can enter.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::path_owners::check_owners;

/// Creates a directory that only this user can enter, and missing parents with the usual permissions. An existing
/// directory is left unchanged. Nothing is created in a directory of another user: a program that root runs with
/// another user's `HOME` would leave files there that this user cannot use.
pub(crate) fn make_private_directory(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    check_owners(path)?;
    if let Some(parent) = path.parent()
        && !parent.as_os_str().is_empty()
    {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        // The caller finds out whether it is a directory.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
