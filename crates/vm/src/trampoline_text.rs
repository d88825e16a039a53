//! The text of trampolines: memory that grows, and whose contents never change.

use crate::sys::{Mapping, Protection, page_size};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Fills the rest of a trampoline's pages: an instruction that traps.
pub(crate) const FILLER: u8 = 0xcc;

/// The text of an area. It grows, and its contents never change.
#[derive(Debug)]
pub(crate) struct TrampolineText {
    mapping: Mapping,
    /// The number of bytes from the start that hold trampolines.
    used: AtomicUsize,
}

impl TrampolineText {
    pub(crate) fn new(length: usize) -> io::Result<Self> {
        Ok(Self { mapping: Mapping::new(length, Protection::None)?, used: AtomicUsize::new(0) })
    }

    /// Returns the addresses of the whole area, used or not.
    pub(crate) fn addresses(&self) -> Range<usize> {
        self.mapping.base()..self.mapping.base() + self.mapping.length()
    }

    /// Returns the text of the existing trampolines. Async-signal-safe.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: TRAMPOLINES: these bytes are readable and do not change.
        unsafe { self.mapping.bytes(0..self.used.load(Ordering::Acquire)) }
    }

    /// Adds a trampoline if there is room, and returns its address. Must be called by one thread at a time.
    pub(crate) fn add(&self, code: &[u8]) -> io::Result<Option<usize>> {
        let start = self.used.load(Ordering::Relaxed);
        let pages = start..start + code.len().next_multiple_of(page_size());
        if pages.end > self.mapping.length() {
            return Ok(None);
        }
        // SAFETY: TRAMPOLINES: these pages are not used yet, and only this thread adds any.
        unsafe {
            self.mapping.protect_shared(pages.clone(), Protection::ReadWrite)?;
            self.mapping.write(pages.start, code);
            self.mapping.fill(pages.start + code.len()..pages.end, FILLER);
            self.mapping.protect_shared(pages.clone(), Protection::ReadExecute)?;
        }
        self.used.store(pages.end, Ordering::Release);
        Ok(Some(self.mapping.base() + pages.start))
    }
}
