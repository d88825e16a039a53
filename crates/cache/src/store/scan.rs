//! What is in the directory of entries, told from names and metadata.
//!
//! Only what has a name that we give is seen: anything else was put there by somebody, and is let be. A
//! file that another process removes meanwhile is not there.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::access;
use crate::key::Key;
use crate::new_file::TEMPORARY_PREFIX;

/// How names of entries end. What the files are for is the caller's affair.
pub const ENTRY_SUFFIX: &str = ".artifact";

/// What something in the directory is.
pub(super) enum ScannedKind {
    Entry(Key),
    /// A file that is being written, or was when its writer was killed.
    Temporary,
    /// It has the name of an entry or temporary file, and is no file: what it is instead.
    Misplaced(&'static str),
}

/// Something under a name of ours.
pub(super) struct ScannedFile {
    pub(super) kind: ScannedKind,
    pub(super) path: PathBuf,
    /// Bytes; 0 of what is no file.
    pub(super) length: u64,
    /// When it was last used, or, if it is temporary, written to.
    pub(super) last_use: SystemTime,
}

impl ScannedFile {
    fn of(entry: &DirEntry) -> io::Result<Option<ScannedFile>> {
        let name = entry.file_name();
        let kind = match name.to_str().and_then(kind_of) {
            Some(kind) => kind,
            None => return Ok(None),
        };
        // Of the name itself, not of what a link points to.
        let found = entry.metadata()?;
        let (kind, length) = match access::check_regular(&found) {
            Ok(()) => (kind, found.len()),
            Err(what) => (ScannedKind::Misplaced(what), 0),
        };
        Ok(Some(ScannedFile { kind, path: entry.path(), length, last_use: found.modified()? }))
    }

    /// Whether nobody has written to it for so long.
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

/// All that has a name of ours in `directory`; nothing where it is missing.
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
