//! The text of trampolines: memory that grows, and in which nothing ever changes.

use crate::sys::{Mapping, Protection, page_size};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Fills the rest of a trampoline's pages: an instruction that traps.
pub(crate) const FILLER: u8 = 0xcc;

/// The text of an area. It grows, and nothing that is there ever changes.
#[derive(Debug)]
pub(crate) struct TrampolineText {
    mapping: Mapping,
    /// Bytes from the start that hold trampolines.
    used: AtomicUsize,
}

impl TrampolineText {
    pub(crate) fn new(length: usize) -> io::Result<Self> {
        Ok(Self { mapping: Mapping::new(length, Protection::None)?, used: AtomicUsize::new(0) })
    }

    /// Addresses of all of it, whether there is a trampoline or not.
    pub(crate) fn addresses(&self) -> Range<usize> {
        self.mapping.base()..self.mapping.base() + self.mapping.length()
    }

    /// The trampolines that there are. Async-signal-safe.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: TRAMPOLINES: so many bytes can be read, and do not change.
        unsafe { self.mapping.bytes(0..self.used.load(Ordering::Acquire)) }
    }

    /// Adds a trampoline, if there is room; its address. One thread at a time.
    pub(crate) fn add(&self, code: &[u8]) -> io::Result<Option<usize>> {
        let start = self.used.load(Ordering::Relaxed);
        let pages = start..start + code.len().next_multiple_of(page_size());
        if pages.end > self.mapping.length() {
            return Ok(None);
        }
        // SAFETY: TRAMPOLINES: nobody has a use for these pages yet, and this thread alone adds any.
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
