//! How much of a memory stays resident between two guests.

use super::accounts::{Account, Share};
use super::history::MemoryHistory;
use super::image::ExtraMappings;
use std::sync::Arc;

/// How much of a memory stays resident, and in pages of which size.
#[derive(Debug)]
pub(super) struct Resident {
    /// Bytes of written pages that stay resident. This grows if more are written repeatedly, or on trial.
    pub(super) keeps: usize,
    /// How many of them are kept on trial, to find out whether they are written again.
    pub(super) on_trial: Share,
    /// How many bytes beyond [`MOST_KEPT`] may be kept.
    pub(super) beyond: Share,
    /// How guests like the current one have used their memories; `None` for memories that are not rewound.
    pub(super) history: Option<Arc<MemoryHistory>>,
    /// Whether large pages were requested (`true`) or refused (`false`) below [`SMALL_PAGES`] and beyond.
    pub(super) large_pages: [Option<bool>; 2],
    /// Whether a reset has discarded pages since the slot holds its current memory.
    pub(super) has_given_back: bool,
    /// The largest number of bytes that was found written at once.
    pub(super) most_written: usize,
    /// The mapping for the border between the two requests, if they differ.
    pub(super) border: Option<ExtraMappings>,
}

/// Bytes of written pages that every memory keeps resident.
pub(super) const KEPT_BYTES: usize = 4 << 20;

/// The largest number of bytes that a memory keeps if its guests write to that many each time.
pub(super) const MOST_KEPT: usize = 128 << 20;

/// The same, if there is memory for what exceeds [`MOST_KEPT`] ([`Accounts`]).
pub(super) const MOST_KEPT_BEYOND: usize = 1 << 30;

/// The same, for a memory that has just begun to keep more than [`KEPT_BYTES`]. On the machines that were measured,
/// discarding a page and faulting it in again takes at least four times as long as overwriting it. So overwriting a
/// page in vain this often costs no more than discarding it would have cost had it been needed again.
pub(super) const TRIAL: u32 = 4;

/// The offset from which a memory that is rewound gets large pages, unless its guests are known to write to scattered
/// places. One write to a large page makes 2 MiB resident, and cleaning it overwrites 2 MiB. Small guests should never
/// pay that.
pub(super) const SMALL_PAGES: usize = 2 << 20;

/// If no more bytes than this are written, searching them is not worth the time.
pub(super) const FEW_BYTES: usize = 64 << 10;

impl Resident {
    /// Returns how many of `wanted` bytes may be kept.
    pub(super) fn claim_kept(&mut self, wanted: usize, beyond: &Arc<Account>) -> usize {
        let excess = wanted.min(MOST_KEPT_BEYOND).saturating_sub(MOST_KEPT);
        self.beyond.claim(excess.saturating_sub(self.beyond.bytes), beyond);
        wanted.min(MOST_KEPT) + self.beyond.bytes.min(excess)
    }
}

/// The number of cleanings after which a memory is searched for pages that are no longer written.
pub(super) const TRIM_INTERVAL: u32 = 64;
