//! Directories that this user alone can enter.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::path_owners::check_owners;

/// Makes a directory that only this user can enter, and, as usual, what is missing above it. One that exists
/// stays as it is. Nothing is made in a directory of another user: a program that root runs with somebody's `HOME` would leave there
/// what that user cannot use.
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
        // What it is instead of a directory is for the caller to find out.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
