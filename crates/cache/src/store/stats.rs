//! Totals of what a cache holds.

use super::scan::{ScannedFile, ScannedKind};
use std::time::SystemTime;

/// Totals of what a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The number of entries.
    pub entries: u64,
    /// The total size of all entries in bytes.
    pub bytes: u64,
    /// The number of files that are being written, or that killed processes left.
    pub temporary_files: u64,
    /// The total size of those files in bytes.
    pub temporary_bytes: u64,
    /// The number of things with a cache file's name that are not files: directories, links and the like.
    pub misplaced: u64,
    /// The size limit of all entries together, in bytes.
    pub size_limit: u64,
    /// The last use of the least recently used entry, to the hour.
    pub oldest_use: Option<SystemTime>,
    /// The last use of the most recently used entry, to the hour.
    pub newest_use: Option<SystemTime>,
}

impl Stats {
    pub(super) fn add(&mut self, found: &ScannedFile) {
        match found.kind {
            ScannedKind::Temporary => {
                self.temporary_files += 1;
                self.temporary_bytes = self.temporary_bytes.saturating_add(found.length);
            }
            ScannedKind::Misplaced(_) => self.misplaced += 1,
            ScannedKind::Entry(_) => {
                self.entries += 1;
                // Sparse files can claim any length.
                self.bytes = self.bytes.saturating_add(found.length);
                let time = found.last_use;
                self.oldest_use = Some(self.oldest_use.map_or(time, |t| t.min(time)));
                self.newest_use = Some(self.newest_use.map_or(time, |t| t.max(time)));
            }
        }
    }
}
