//! Data and element segments: what they hold, and when they are used.

use crate::ConstExpr;
use crate::rows::Rows;
use belljar_core::{DataIndex, MemoryIndex, TableIndex};
use std::ops::Range;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// When a segment is used.
#[derive(Clone, PartialEq, Debug)]
pub enum SegmentMode<I> {
    /// It is copied at instantiation, to this offset.
    Active(I, ConstExpr),
    /// Only instructions use it.
    Passive,
    /// It is never used: it only declares functions whose references are taken.
    Declared,
}

/// A data segment that is copied at instantiation.
#[derive(Clone, Debug)]
pub struct ActiveData {
    /// Its index.
    pub index: DataIndex,
    /// The memory it is copied to.
    pub memory: MemoryIndex,
    /// The offset it is copied to.
    pub offset: ConstExpr,
    /// Its bytes, as a range of the binary.
    pub bytes: Range<usize>,
    /// Start of the segment's declaration in the binary.
    pub(crate) start: usize,
}

/// A data segment that only instructions use.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct PassiveData {
    pub(crate) index: U32,
    pub(crate) bytes: BinaryRange,
}

/// A range of the binary.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct BinaryRange {
    start: U32,
    end: U32,
}

impl BinaryRange {
    pub(crate) fn of(range: &Range<usize>) -> Self {
        Self { start: U32::new(range.start as u32), end: U32::new(range.end as u32) }
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start.get() as usize..self.end.get() as usize
    }
}

/// The items of an element segment.
#[derive(Clone, Debug)]
pub enum ElemItems {
    /// Functions.
    Funcs(ElemFuncs),
    /// Expressions.
    Exprs(Box<[ConstExpr]>),
}

impl ElemItems {
    /// Returns the number.
    pub fn len(&self) -> usize {
        match self {
            Self::Funcs(f) => f.len(),
            Self::Exprs(e) => e.len(),
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Functions in an element segment.
#[derive(Clone, Debug)]
pub struct ElemFuncs(pub(crate) Rows<U32>);

impl ElemFuncs {
    /// Returns the number.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns, for each function, its position among the escaping functions ([`crate::Module::escaping_func`]).
    pub fn places(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.0.iter().map(|place| place.get())
    }
}

/// An element segment.
#[derive(Clone, Debug)]
pub struct ElemSegment {
    /// When it is used.
    pub mode: SegmentMode<TableIndex>,
    /// Its items.
    pub items: ElemItems,
    /// Its range in the binary.
    pub(crate) range: Range<usize>,
}
