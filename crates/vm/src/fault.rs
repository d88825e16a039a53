//! Describes an access outside its memory, for error messages.
//!
//! In: what the trap left behind (a range, an address or nothing), and the guest's stack. Out: a [`Fault`]. Never: work
//! before a guest has trapped.

use belljar_core::{DataIndex, MemoryIndex};

/// An access outside its memory, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The memory's index in the module whose code is innermost, or that was being instantiated.
    pub memory: Option<MemoryIndex>,
    /// The memory's size in bytes at that time.
    pub memory_size: u64,
    /// The address of the access.
    pub address: FaultAddress,
    /// The number of bytes to access.
    pub length: Option<u64>,
    /// The source of the bytes, if that was a data segment.
    pub source: Option<SegmentPart>,
}

/// What is known about the address of an access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultAddress {
    /// The access began here.
    Start(u64),
    /// The access touched this byte, the first after the memory, and may have begun before it.
    End(u64),
    /// Code compared the address with the bound, and did not keep it.
    Unknown,
}

/// A part of a data segment. If it lies outside of the segment, that caused the trap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentPart {
    /// The segment.
    pub segment: DataIndex,
    /// The offset of the first byte.
    pub start: u64,
    /// The size of the segment in bytes; 0 once it is dropped.
    pub size: u64,
}
