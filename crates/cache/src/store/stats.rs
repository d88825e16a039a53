//! What a cache holds, in figures.

use super::scan::{ScannedFile, ScannedKind};
use std::time::SystemTime;

/// What a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How many entries.
    pub entries: u64,
    /// How many bytes they have together.
    pub bytes: u64,
    /// How many files are being written, or were left by processes that were killed.
    pub temporary_files: u64,
    /// How many bytes these have together.
    pub temporary_bytes: u64,
    /// How many things have the name of such a file and are none: directories, links and the like.
    pub misplaced: u64,
    /// How many bytes the entries may have.
    pub size_limit: u64,
    /// When the entry was last used that has been left alone for the longest time, to the hour.
    pub oldest_use: Option<SystemTime>,
    /// When any entry was last used, to the hour.
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
                // Files with holes can claim any length.
                self.bytes = self.bytes.saturating_add(found.length);
                let time = found.last_use;
                self.oldest_use = Some(self.oldest_use.map_or(time, |t| t.min(time)));
                self.newest_use = Some(self.newest_use.map_or(time, |t| t.max(time)));
            }
        }
    }
}
