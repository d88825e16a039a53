//! Removing whatever has a name in the cache, without ever leaving the cache.
//!
//! Where an entry should be, somebody may have put a directory with anything in it. What is removed are names in
//! directories that were opened without following links; a mount is never entered, as it can be neither removed
//! nor moved. Directories within directories are first moved beside the outermost one, so that neither their depth nor
//! their number takes stack or descriptors.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::new_file::temporary_name;

/// Removes a file, link, pipe, socket or directory with all that is in it; gives whether it was there.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        // Linux says the one, POSIX the other.
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
            // Another process is at it as well.
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

/// Removes what is in a directory, and moves the directories in it into `to`. Where those are now.
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

/// Moves a directory; where a file system is mounted on it, the kernel refuses.
fn move_directory(from: impl AsFd, name: &CStr, to: &Path) -> io::Result<PathBuf> {
    let target = to.join(temporary_name()?);
    renameat(from, name, CWD, &target)?;
    Ok(target)
}
