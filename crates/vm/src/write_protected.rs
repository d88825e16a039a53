//! Ranges of memory whose guests write to the same few pages each time, and of which all else is write-protected.

use crate::sys::{WriteWatch, page_size};
use std::ops::Range;

/// So often the same pages must have been written before a memory is taken to be settled.
const PATIENCE: u32 = 16;

/// Each memory that was disturbed is waited for four times as long, up to this.
const MOST_PATIENCE: u32 = 1 << 14;

/// Pages between written ones that are overwritten too, rather than be mappings of their own.
const GAP: usize = 2;

/// Ranges that may be written to.
const RANGES: usize = 64;

/// How long it has been calm: whether cleaning finds the same pages written each time.
#[derive(Debug)]
pub(crate) struct WriteStability {
    /// What was found last: bytes written, and bytes there. Pages only become more, so that a sum stands for them all.
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
    /// Whether so many bytes written of so many have been found often enough.
    pub(crate) fn is_stable_after(&mut self, written: usize, accessible: usize) -> bool {
        let same = self.last == (written, accessible);
        self.last = (written, accessible);
        self.times = if same { self.times.saturating_add(1) } else { 0 };
        self.times >= self.patience
    }

    /// It was not: something else was written, or it could not be protected.
    pub(crate) fn reset(&mut self) {
        self.times = 0;
        self.patience = self.patience.saturating_mul(4).min(MOST_PATIENCE);
    }
}

/// What may be written to in a memory of which all else is write-protected, and watched.
#[derive(Debug)]
pub(crate) struct WriteProtected {
    base: usize,
    written: Vec<Range<usize>>,
    /// Bytes from the start that this is about.
    length: usize,
    watch: WriteWatch,
}

impl WriteProtected {
    /// Watches the first `length` bytes of the memory at `base`, but for these ranges of whole pages, in order. Nothing where that
    /// takes too many mappings.
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

    /// Ranges of pages that are overwritten each time.
    pub(crate) fn written(&self) -> &[Range<usize>] {
        &self.written
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The ranges between those that are written.
    pub(crate) fn protected(&self) -> impl Iterator<Item = Range<usize>> + use<'_> {
        let starts = std::iter::once(0).chain(self.written.iter().map(|range| range.end));
        let ends = self.written.iter().map(|range| range.start).chain(std::iter::once(self.length));
        starts.zip(ends).map(|(start, end)| start..end).filter(|range| !range.is_empty())
    }

    /// Offset of the first write to something else.
    pub(crate) fn first_written(&self) -> Option<usize> {
        self.watch.first_written().map(|address| address - self.base)
    }

    /// Whether something else was written to; then all of it can be.
    pub(crate) fn is_broken(&self) -> bool {
        self.watch.is_broken()
    }
}
