//! What is in the directory of entries, told from names and metadata.
//!
//! Only regular files whose names we give are seen: anything else was put there by somebody, and is let be. A
//! file that another process removes meanwhile is not there.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::key::Key;
use crate::new_file::TEMPORARY_PREFIX;

/// How names of entries end. What the files are for is the caller's affair.
pub const ENTRY_SUFFIX: &str = ".artifact";

/// What a file is by its name.
pub(super) enum Kind {
    Entry(Key),
    /// A file that is being written, or was when its writer was killed.
    Temporary,
}

/// A file of ours.
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
    pub(super) length: u64,
    /// When it was last used, or, if it is temporary, written to.
    pub(super) last_use: SystemTime,
}

impl Found {
    fn of(entry: &DirEntry) -> io::Result<Option<Found>> {
        let name = entry.file_name();
        let kind = match name.to_str().and_then(kind_of) {
            Some(kind) => kind,
            None => return Ok(None),
        };
        // Of the name itself, not of what a link points to.
        let found = entry.metadata()?;
        if !found.is_file() {
            return Ok(None);
        }
        let (path, length) = (entry.path(), found.len());
        Ok(Some(Found { kind, path, length, last_use: found.modified()? }))
    }

    /// Whether nobody has written to it for so long.
    pub(super) fn is_older_than(&self, limit: Duration) -> bool {
        self.last_use.elapsed().is_ok_and(|age| age > limit)
    }
}

fn kind_of(name: &str) -> Option<Kind> {
    if name.starts_with(TEMPORARY_PREFIX) {
        return Some(Kind::Temporary);
    }
    name.strip_suffix(ENTRY_SUFFIX)?.parse().ok().map(Kind::Entry)
}

/// All files of ours in `directory`; none where it is missing.
pub(super) fn scan(directory: &Path) -> io::Result<Vec<Found>> {
    let listing = match fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut all = Vec::new();
    for entry in listing {
        match Found::of(&entry?) {
            Ok(found) => all.extend(found),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

/// Removes a file; gives whether it was there.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
