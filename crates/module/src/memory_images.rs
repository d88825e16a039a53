//! Initial contents of memories, built from the active data segments ahead of instantiation.

use crate::segments::ActiveData;
use belljar_abi::IMAGE_PAGE;
use belljar_core::{MemoryIndex, MemoryType};
use bytes::Bytes;
use std::ops::Range;

/// The initial contents of those memories of a module whose active segments are known to fit. Cheap to clone.
///
/// The segments in an image are no longer needed: instantiation copies the pieces and drops the segments.
#[derive(Clone, Default, Debug)]
pub struct MemoryImages {
    pub(crate) bytes: Bytes,
    /// By memory, then by ascending offset.
    pub(crate) pieces: Box<[ImagePiece]>,
}

/// Pages of a memory that do not start as zeros.
#[derive(Clone, Debug)]
pub struct ImagePiece {
    /// The memory.
    pub memory: MemoryIndex,
    /// Offset in the memory, a multiple of [`IMAGE_PAGE`].
    pub offset: u64,
    /// Range in [`MemoryImages::bytes`]; both ends are multiples of [`IMAGE_PAGE`].
    pub range: Range<usize>,
}

impl MemoryImages {
    /// Restores images that were built earlier. Returns `None` if they do not fit the memories of the module.
    pub(crate) fn of_pieces(
        bytes: Bytes,
        pieces: Box<[ImagePiece]>,
        memories: &[MemoryType],
        imported_memories: usize,
    ) -> Option<Self> {
        let fits = |piece: &ImagePiece| {
            let memory = memories.get(piece.memory.index())?;
            let room = memory.minimum_bytes()?.checked_next_multiple_of(IMAGE_PAGE as u64)?;
            let end = piece.offset.checked_add(piece.range.len() as u64)?;
            let is_defined = piece.memory.index() >= imported_memories;
            (is_defined && end <= room && bytes.get(piece.range.clone()).is_some()).then_some(())
        };
        let in_order = pieces.is_sorted_by_key(|piece| (piece.memory, piece.offset));
        (in_order && pieces.iter().all(|piece| fits(piece).is_some())).then_some(Self { bytes, pieces })
    }

    /// Returns the bytes of all pieces, concatenated.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the pieces.
    pub fn pieces(&self) -> &[ImagePiece] {
        &self.pieces
    }

    /// Returns the pieces of a memory. If there are none, its segments have to be copied.
    pub fn of_memory(&self, memory: MemoryIndex) -> &[ImagePiece] {
        let start = self.pieces.partition_point(|piece| piece.memory < memory);
        let end = self.pieces.partition_point(|piece| piece.memory <= memory);
        &self.pieces[start..end]
    }

    /// Returns the bytes of a piece.
    pub fn piece(&self, piece: &ImagePiece) -> &[u8] {
        &self.bytes[piece.range.clone()]
    }

    /// Returns whether a segment is part of an image.
    pub fn holds(&self, data: &ActiveData) -> bool {
        !self.of_memory(data.memory).is_empty()
    }
}
