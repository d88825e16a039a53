//! The entries of a cache.

use crate::identity::Identity;
use crate::key::Key;
use std::fs::File;
use std::path::PathBuf;
use std::time::SystemTime;

/// A file found under a key. The caller must verify with [`check`](crate::check), for [`Entry::identity`], that it is
/// what was stored.
#[derive(Debug)]
pub struct Entry {
    /// The key that it was found under.
    pub key: Key,
    /// The file, open for reading at its start. It stays readable whatever happens to the cache.
    pub file: File,
    /// The size in bytes.
    pub length: u64,
}

impl Entry {
    /// Returns what the entry must be sealed as.
    pub fn identity(&self) -> Identity {
        Identity::entry(self.key)
    }
}

/// Something that is not a file but has a cache file's name. It is never found, and a new entry replaces it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misplaced {
    /// Its path.
    pub path: PathBuf,
    /// What it is: `a directory`, `a symbolic link`, …
    pub what: &'static str,
}

/// What is known about an entry without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryInfo {
    /// The key that it is found under.
    pub key: Key,
    /// The size in bytes.
    pub length: u64,
    /// The time of its last use, to the hour.
    pub last_use: SystemTime,
}
