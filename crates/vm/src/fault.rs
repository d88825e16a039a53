//! What is known of an access outside its memory, for the person who is told of it.
//!
//! In: what the trap left behind (a range, an address or nothing), and the guest's stack. Out: a [`Fault`].
//! Never: work before a guest has trapped.

use belljar_core::{DataIndex, MemoryIndex};

/// An access outside its memory, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The memory's index in the module whose code is innermost, or that was being instantiated.
    pub memory: Option<MemoryIndex>,
    /// The memory's size in bytes then.
    pub memory_size: u64,
    /// Where it was.
    pub address: FaultAddress,
    /// Bytes that were to be accessed.
    pub length: Option<u64>,
    /// Where the bytes were to come from, if that was a data segment.
    pub source: Option<SegmentPart>,
}

/// What is known of an access's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultAddress {
    /// It began here.
    Start(u64),
    /// It touched this byte, the first after the memory, and may have begun before it.
    End(u64),
    /// Code compared, and did not keep what with.
    Unknown,
}

/// Bytes of a data segment, from `start` on. Where they do not lie in the segment, that was the trap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentPart {
    /// The segment.
    pub segment: DataIndex,
    /// Offset of the first byte.
    pub start: u64,
    /// Bytes that the segment has; none once it is dropped.
    pub size: u64,
}
