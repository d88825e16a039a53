//! Removing whatever has a name in the cache, without ever leaving the cache.
//!
//! In place of an entry there may be a directory with arbitrary contents. Only names in directories that were opened
//! without following links are removed; a mount point is never entered, as it can be neither removed nor moved. Nested
//! directories are first moved next to the outermost one, so that neither their depth nor their number consumes stack
//! or descriptors.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::new_file::temporary_name;

/// Removes a file, link, pipe, socket, or directory with all its contents. Returns whether it existed.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        // Linux reports the former, POSIX specifies the latter.
        Err(Errno::ISDIR | Errno::PERM) => remove_directory(path),
        Err(e) => Err(e.into()),
    }
}

fn remove_directory(path: &Path) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut left: Vec<PathBuf> = vec![path.to_path_buf()];
    while let Some(next) = left.last().cloned() {
        let directory = match open_directory(&next) {
            Ok(directory) => directory,
            // Another process is removing it as well.
            Err(Errno::NOENT) => {
                left.pop();
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        let within = empty(&directory, parent)?;
        if within.is_empty() {
            left.pop();
            match unlinkat(CWD, &next, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(e.into()),
            }
        }
        left.extend(within);
    }
    Ok(true)
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
}

/// Removes the contents of a directory, and moves its subdirectories into `to`. Returns their new paths.
fn empty(directory: &OwnedFd, to: &Path) -> io::Result<Vec<PathBuf>> {
    let mut moved = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => moved.push(move_directory(directory.as_fd(), name, to)?),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(moved)
}

/// Moves a directory. The kernel refuses to move a mount point.
fn move_directory(from: impl AsFd, name: &CStr, to: &Path) -> io::Result<PathBuf> {
    let target = to.join(temporary_name()?);
    renameat(from, name, CWD, &target)?;
    Ok(target)
}
