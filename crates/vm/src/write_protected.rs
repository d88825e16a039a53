//! Write protection for memory whose guests write to the same few pages each time: all other pages are write-protected.

use crate::sys::{WriteWatch, page_size};
use std::ops::Range;

/// How often in a row the same pages must have been written before the rest is protected.
const PATIENCE: u32 = 16;

/// After each write to a protected page, four times as many resets are required, up to this limit.
const MOST_PATIENCE: u32 = 1 << 14;

/// The largest gap, in pages, between written pages that is overwritten with them rather than protected by mappings of
/// its own.
const GAP: usize = 2;

/// The largest number of ranges that stay writable.
const RANGES: usize = 64;

/// Tracks for how many resets the same pages were found written.
#[derive(Debug)]
pub(crate) struct WriteStability {
    /// The last observation: bytes written, and bytes accessible. The set of written pages only grows, so its size
    /// identifies it.
    last: (usize, usize),
    times: u32,
    patience: u32,
}

impl Default for WriteStability {
    fn default() -> Self {
        Self { last: (0, 0), times: 0, patience: PATIENCE }
    }
}

impl WriteStability {
    /// Records an observation. Returns whether it has been the same often enough.
    pub(crate) fn is_stable_after(&mut self, written: usize, accessible: usize) -> bool {
        let same = self.last == (written, accessible);
        self.last = (written, accessible);
        self.times = if same { self.times.saturating_add(1) } else { 0 };
        self.times >= self.patience
    }

    /// Restarts the count with a longer wait: another page was written, or the pages could not be protected.
    pub(crate) fn reset(&mut self) {
        self.times = 0;
        self.patience = self.patience.saturating_mul(4).min(MOST_PATIENCE);
    }
}

/// The pages that stay writable in a memory whose other pages are write-protected and watched.
#[derive(Debug)]
pub(crate) struct WriteProtected {
    base: usize,
    written: Vec<Range<usize>>,
    /// The number of bytes from the start that this covers.
    length: usize,
    watch: WriteWatch,
}

impl WriteProtected {
    /// Watches the first `length` bytes of the memory at `base`, except for these ranges of whole pages, in order.
    /// Returns `None` if that takes too many mappings.
    pub(crate) fn new(base: usize, length: usize, written: Vec<Range<usize>>) -> Option<Self> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for range in written {
            match ranges.last_mut() {
                Some(last) if range.start - last.end <= GAP * page_size() => last.end = range.end,
                _ => ranges.push(range),
            }
        }
        if ranges.len() > RANGES {
            return None;
        }
        let watch = WriteWatch::new(base..base + length, 2 * ranges.len() + 1)?;
        Some(Self { base, written: ranges, length, watch })
    }

    /// Returns the ranges of pages that are overwritten at each reset.
    pub(crate) fn written(&self) -> &[Range<usize>] {
        &self.written
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Returns the ranges between the written ones.
    pub(crate) fn protected(&self) -> impl Iterator<Item = Range<usize>> + use<'_> {
        let starts = std::iter::once(0).chain(self.written.iter().map(|range| range.end));
        let ends = self.written.iter().map(|range| range.start).chain(std::iter::once(self.length));
        starts.zip(ends).map(|(start, end)| start..end).filter(|range| !range.is_empty())
    }

    /// Returns the offset of the first write to a protected page.
    pub(crate) fn first_written(&self) -> Option<usize> {
        self.watch.first_written().map(|address| address - self.base)
    }

    /// Returns whether a protected page was written to. Then all pages are writable.
    pub(crate) fn is_broken(&self) -> bool {
        self.watch.is_broken()
    }
}
