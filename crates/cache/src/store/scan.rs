//! A scan of the directory of entries, by names and metadata.
//!
//! Only names that the cache assigns are considered; other files are left alone. A file that another process removes
//! during the scan is skipped.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::access;
use crate::key::Key;
use crate::new_file::TEMPORARY_PREFIX;

/// The suffix of entry names. What the files are for is up to the caller.
pub const ENTRY_SUFFIX: &str = ".artifact";

/// The kind of a directory entry.
pub(super) enum ScannedKind {
    Entry(Key),
    /// A file that is being written, or whose writer was killed.
    Temporary,
    /// It has the name of an entry or temporary file, but is not a file; this says what it is.
    Misplaced(&'static str),
}

/// A directory entry with a name that the cache assigns.
pub(super) struct ScannedFile {
    pub(super) kind: ScannedKind,
    pub(super) path: PathBuf,
    /// The size in bytes; 0 if it is not a file.
    pub(super) length: u64,
    /// The time of its last use; for temporary files, of the last write.
    pub(super) last_use: SystemTime,
}

impl ScannedFile {
    fn of(entry: &DirEntry) -> io::Result<Option<ScannedFile>> {
        let name = entry.file_name();
        let kind = match name.to_str().and_then(kind_of) {
            Some(kind) => kind,
            None => return Ok(None),
        };
        // The metadata of the name itself, not of a link's target.
        let found = entry.metadata()?;
        let (kind, length) = match access::check_regular(&found) {
            Ok(()) => (kind, found.len()),
            Err(what) => (ScannedKind::Misplaced(what), 0),
        };
        Ok(Some(ScannedFile { kind, path: entry.path(), length, last_use: found.modified()? }))
    }

    /// Returns whether the last write is longer ago than `limit`.
    pub(super) fn is_older_than(&self, limit: Duration) -> bool {
        self.last_use.elapsed().is_ok_and(|age| age > limit)
    }
}

fn kind_of(name: &str) -> Option<ScannedKind> {
    if name.starts_with(TEMPORARY_PREFIX) {
        return Some(ScannedKind::Temporary);
    }
    name.strip_suffix(ENTRY_SUFFIX)?.parse().ok().map(ScannedKind::Entry)
}

/// Returns all directory entries in `directory` with names that the cache assigns; none if it does not exist.
pub(super) fn scan(directory: &Path) -> io::Result<Vec<ScannedFile>> {
    let listing = match fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut all = Vec::new();
    for entry in listing {
        match ScannedFile::of(&entry?) {
            Ok(found) => all.extend(found),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}
