//! Memory that holds native code: written once, then executable and never writable again.

use crate::sys::{Mapping, Protection, page_size};
use std::io;

/// Code at a fixed address.
#[derive(Debug)]
pub(crate) struct CodeMemory {
    mapping: Mapping,
}

impl CodeMemory {
    /// Copies code into pages of its own and makes them executable.
    pub(crate) fn new(text: &[u8]) -> io::Result<Self> {
        let length = text.len().max(1).next_multiple_of(page_size());
        let mut mapping = Mapping::new(length, Protection::ReadWrite)?;
        // SAFETY: the mapping is at least as long as `text`, fresh, and ours alone (OWNED-MAPPING).
        unsafe {
            let to = std::ptr::with_exposed_provenance_mut::<u8>(mapping.base());
            to.copy_from_nonoverlapping(text.as_ptr(), text.len());
        }
        mapping.protect(0, length, Protection::ReadExecute)?;
        Ok(Self { mapping })
    }

    /// Address of the first byte.
    pub(crate) fn base(&self) -> usize {
        self.mapping.base()
    }

    /// Bytes, rounded up to pages.
    pub(crate) fn length(&self) -> usize {
        self.mapping.length()
    }
}
