//! The entries of a cache.

use crate::identity::Identity;
use crate::key::Key;
use std::fs::File;
use std::path::PathBuf;
use std::time::SystemTime;

/// A file that was found under a key. Whether it is what was once written under that key is for [`check`](crate::check),
/// which is to be asked for [`Entry::identity`].
#[derive(Debug)]
pub struct Entry {
    /// What it was found by.
    pub key: Key,
    /// Open to read, at its start. It stays readable whatever becomes of the cache.
    pub file: File,
    /// Its bytes.
    pub length: u64,
}

impl Entry {
    /// What it must have been sealed as.
    pub fn identity(&self) -> Identity {
        Identity::entry(self.key)
    }
}

/// Something that has a name of the cache's, and is no file. It is never found, and a new entry takes its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misplaced {
    /// Where it is.
    pub path: PathBuf,
    /// What it is: `a directory`, `a symbolic link`, …
    pub what: &'static str,
}

/// What is known of an entry without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryInfo {
    /// What it is found by.
    pub key: Key,
    /// Its bytes.
    pub length: u64,
    /// When it was last used, to the hour.
    pub last_use: SystemTime,
}
