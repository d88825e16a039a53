//! Contents that memories start with, mapped copy-on-write.

use crate::sys::{Mapping, anonymous_file, page_size};
use belljar_core::MemoryIndex;
use belljar_module::MemoryImages;
use rustix::fd::OwnedFd;
use std::io;
use std::ops::Range;

/// The initial contents of a memory, shared by all its instances copy-on-write.
#[derive(Debug)]
pub(crate) struct MemoryImage {
    file: OwnedFd,
    /// The same bytes, to copy from.
    contents: Mapping,
    /// Offset in the memory, a multiple of the page size.
    offset: usize,
    length: usize,
}

/// Images whose pieces have more than so many bytes between them are not mapped, but copied.
const IMAGE_HOLES: usize = 16 << 20;

impl MemoryImage {
    /// The image of a memory, if it has one that is to be mapped.
    pub(crate) fn of(images: &MemoryImages, memory: MemoryIndex) -> Option<MemoryImage> {
        let pieces = images.of_memory(memory);
        let (first, last) = (pieces.first()?, pieces.last()?);
        let offset = usize::try_from(first.offset).ok()?;
        let end = usize::try_from(last.offset).ok()? + last.range.len();
        let bytes: usize = pieces.iter().map(|piece| piece.range.len()).sum();
        let is_whole = |at: usize| at.is_multiple_of(page_size());
        if end - offset > bytes + IMAGE_HOLES || !is_whole(offset) || !is_whole(end) {
            return None;
        }
        let parts = pieces.iter().map(|piece| (piece.offset as usize - offset, images.piece(piece)));
        Self::new("belljar-image", offset..end, parts).ok()
    }

    /// The image of a range of whole pages, zero but for these parts, whose offsets are from its start.
    pub(super) fn new<'a>(
        name: &str,
        range: Range<usize>,
        parts: impl Iterator<Item = (usize, &'a [u8])>,
    ) -> io::Result<MemoryImage> {
        let (offset, length) = (range.start, range.len());
        let file = anonymous_file(name, length, parts)?;
        let contents = Mapping::of_file(&file, length)?;
        Ok(MemoryImage { file, contents, offset, length })
    }

    /// What may be mapped, from its start to the end of the range.
    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Where in a memory it lies, in whole pages.
    pub(super) fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.length
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable, and nobody writes it (OWNED-MAPPING).
        unsafe { self.contents.bytes(0..self.length) }
    }
}
