//! Decides which pages of a memory stay resident, and in which page size.
//!
//! In: what guests write, session after session. Out: advice to the kernel, and how many written pages are kept. Never: an effect on
//! contents.

use super::history::{LargePages, MemoryHistory};
use super::image::ExtraMappings;
use super::reservation::RESERVATION;
use super::resident::TRIM_INTERVAL;
use super::resident::{FEW_BYTES, KEPT_BYTES, MOST_KEPT, SMALL_PAGES};
use super::slot::Slot;
use crate::byte_scan::first_written;
use crate::sys::{
    LARGE_PAGE, LargePageMode, free_large_pages_go_to_the_host, large_page_mode, page_size, written_pages,
};
use std::io;
use std::ops::Range;
use std::sync::Arc;

impl Slot {
    /// Prepares for a memory that is rewound and whose guests are like those of this history.
    #[inline]
    pub(super) fn set_history(&mut self, history: &Arc<MemoryHistory>) {
        if !self.resident.history.as_ref().is_some_and(|own| Arc::ptr_eq(own, history)) {
            self.resident.keeps = self.resident.keeps.max(history.kept());
            self.resident.history = Some(history.clone());
            self.advise_page_size();
        }
    }

    /// Prepares for a memory without a history.
    pub(super) fn clear_history(&mut self) {
        self.resident.history = None;
        self.advise_page_size();
    }

    /// Advises the kernel on large or small pages.
    pub(super) fn advise_page_size(&mut self) {
        let by_default = match large_page_mode() {
            LargePageMode::Never => return,
            LargePageMode::OnRequest => false,
            LargePageMode::Always => true,
        };
        let known = self.resident.history.as_ref().map(|history| history.large_pages());
        let mut wanted = match known {
            _ if self.room() < RESERVATION => return,
            None => [by_default; 2],
            Some(LargePages::Sparse) => [false; 2],
            Some(known) => {
                // If large pages come from the host, request only those that are used repeatedly, so soon that the host
                // has not taken them yet.
                let are_near = !free_large_pages_go_to_the_host()
                    || known == LargePages::Filled && self.resident.has_given_back;
                [false, are_near && self.accessible > SMALL_PAGES]
            }
        };
        let had = self.resident.large_pages[1] == Some(true);
        if wanted[0] == wanted[1] {
            self.resident.border = None;
        } else if self.resident.border.is_none() {
            self.resident.border = ExtraMappings::take(1);
            wanted[1] &= self.resident.border.is_some();
        }
        if wanted[1] && !had && known == Some(LargePages::Unknown) {
            // Measure after the first use.
            (self.cleaned, self.trim_after) = (0, 1);
        }
        let is_new = [0, 1].map(|at| wanted[at] != self.resident.large_pages[at].unwrap_or(by_default));
        let (near, far) = (0..SMALL_PAGES, SMALL_PAGES..self.room());
        // One mapping, if both requests are the same.
        if wanted[0] == wanted[1] && is_new != [false; 2] {
            self.mapping.prefer_large_pages(near.start..far.end, wanted[0]);
        } else {
            for (range, at) in [(near, 0), (far, 1)].into_iter().filter(|(_, at)| is_new[*at]) {
                self.mapping.prefer_large_pages(range, wanted[at]);
            }
        }
        self.resident.large_pages = wanted.map(Some);
    }

    /// Makes the next reset measure whether guests fill large pages, unless that is known.
    pub(super) fn schedule_large_page_check(&mut self) {
        let unknown = |history: &Arc<MemoryHistory>| history.large_pages() == LargePages::Unknown;
        if self.resident.history.as_ref().is_some_and(unknown) {
            (self.cleaned, self.trim_after) = (0, 1);
        }
    }

    /// Restarts with what every memory keeps.
    pub(super) fn reset_kept(&mut self) {
        self.resident.keeps = KEPT_BYTES;
        self.resident.on_trial.end();
        self.resident.beyond.end();
        (self.cleaned, self.trim_after) = (0, TRIM_INTERVAL);
    }

    /// Discards pages that were once written and have their initial contents again. The last call did not change them,
    /// yet they would be overwritten after each call. Pages that it did change are left to later passes.
    ///
    /// # Errors
    ///
    /// Returns the kernel's error.
    pub(super) fn trim(&mut self) -> io::Result<()> {
        (self.cleaned, self.trim_after) = (0, self.trim_after.saturating_mul(4).min(TRIM_INTERVAL));
        let base = self.mapping.base();
        let mut written = Vec::new();
        let scanned = written_pages(base..base + self.accessible, |range| {
            written.push(range.start - base..range.end - base);
            true
        });
        // If the kernel does not list written pages, all pages are discarded each time.
        if scanned.is_err() || written.iter().map(Range::len).sum::<usize>() <= FEW_BYTES {
            self.reset_kept();
            return Ok(());
        }
        let mut same: Vec<Range<usize>> = Vec::new();
        let mut changed = 0;
        // Bytes of large pages, or of space for them, and how many of these bytes were changed.
        let (mut last_large, mut large, mut large_changed) = (0..0, 0, 0);
        for page in written.into_iter().flat_map(|range| range.step_by(page_size())) {
            let is_same = self.is_initial(page);
            if !last_large.contains(&page) {
                let start = (base + page) / LARGE_PAGE * LARGE_PAGE;
                // Large pages that would lie only partly in this range do not exist.
                if start >= base + SMALL_PAGES && start + LARGE_PAGE <= base + self.accessible {
                    last_large = start - base..start - base + LARGE_PAGE;
                    large += LARGE_PAGE;
                }
            }
            if last_large.contains(&page) && !is_same {
                large_changed += page_size();
            }
            if is_same {
                match same.last_mut() {
                    Some(last) if last.end == page => last.end += page_size(),
                    _ => same.push(page..page + page_size()),
                }
            } else {
                changed += page_size();
            }
        }
        self.resident.keeps = self.resident.keeps.min((2 * changed).max(KEPT_BYTES));
        self.resident.on_trial.end();
        self.resident.beyond.at_most(self.resident.keeps.saturating_sub(MOST_KEPT));
        if !same.is_empty() {
            self.unprotect()?;
        }
        if let Some(history) = &self.resident.history {
            history.set_kept(changed.min(MOST_KEPT));
            if large > 0 {
                let filled = 2 * large_changed >= large;
                history.set_large_pages(if filled { LargePages::Filled } else { LargePages::Sparse });
                if !filled && self.resident.large_pages[1] == Some(true) {
                    self.unprotect()?;
                    self.advise_page_size();
                    // Discard whole large pages: a part of one is not freed before all of it is.
                    same.retain(|range| range.start < SMALL_PAGES);
                    self.mapping.discard(SMALL_PAGES, self.accessible - SMALL_PAGES)?;
                }
            }
        }
        same.into_iter().try_for_each(|range| self.mapping.discard(range.start, range.len()))
    }

    /// Returns whether a page has its initial contents.
    pub(super) fn is_initial(&self, page: usize) -> bool {
        // SAFETY: the page is accessible memory of this slot (IN-BOUNDS), which no store uses now.
        let now = unsafe { self.mapping.bytes(page..page + page_size()) };
        let mut same = true;
        self.divide(page..page + page_size(), |_, contents| {
            same = contents.map_or_else(|| first_written(now).is_none(), |contents| now == contents);
        });
        same
    }
}
