//! The parts of a store's region that guests write to, and how they are rewound.
//!
//! Most of such a part is tables, which few guests write to once they run. Pages that do not change from one reset to
//! the next are write-protected after some time ([`WriteProtected`]), and no longer compared.

use crate::byte_scan::{first_difference, first_written};
use crate::sys::{Mapping, Protection, page_size};
use crate::write_protected::{WriteProtected, WriteStability};
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Up to this many bytes, copying is faster than finding out what has changed.
const FEW_BYTES: usize = 8 << 10;

/// The contents of an area at one moment: pieces with their offsets in the area. Everything else was zero.
#[derive(Debug)]
pub(crate) struct AreaCheckpoint {
    /// A number that is unique in the process.
    number: u64,
    pieces: Vec<(usize, Box<[u8]>)>,
}

impl AreaCheckpoint {
    /// Creates a checkpoint from pieces, which are in order and do not overlap.
    pub(crate) fn new(pieces: Vec<(usize, Box<[u8]>)>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { number: NEXT.fetch_add(1, Relaxed), pieces }
    }

    pub(crate) fn pieces(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.pieces.iter().map(|(offset, bytes)| (*offset, &**bytes))
    }

    /// Returns the offset of the end of the last piece.
    fn length(&self) -> usize {
        self.pieces.last().map_or(0, |(offset, bytes)| offset + bytes.len())
    }

    /// Returns the parts of pieces that lie in a range.
    fn within(&self, range: Range<usize>) -> impl Iterator<Item = (usize, &[u8])> {
        let first = self.pieces.partition_point(|(offset, bytes)| offset + bytes.len() <= range.start);
        let end = range.end;
        self.pieces[first..].iter().take_while(move |(offset, _)| *offset < end).map(
            move |(offset, bytes)| {
                let start = range.start.max(*offset);
                (start, &bytes[start - offset..(range.end - offset).min(bytes.len())])
            },
        )
    }
}

/// A part of a store's region.
#[derive(Debug)]
pub(crate) struct Area {
    /// The offset in the region, a multiple of the page size.
    start: usize,
    write_protected: Option<WriteProtected>,
    stability: WriteStability,
    /// The checkpoint that the area was last rewound to, and the pages that have differed from it since.
    last: u64,
    written: BTreeSet<usize>,
}

impl Area {
    pub(crate) fn new(start: usize) -> Self {
        Self {
            start,
            write_protected: None,
            stability: WriteStability::default(),
            last: 0,
            written: BTreeSet::new(),
        }
    }

    /// Returns a range of the area.
    ///
    /// # Safety
    ///
    /// The range lies in the allocated part of the mapping's area, and the store is held exclusively.
    pub(crate) unsafe fn bytes<'a>(&self, mapping: &'a Mapping, range: Range<usize>) -> &'a [u8] {
        // SAFETY: the caller's promise; the region is readable.
        unsafe { mapping.bytes(self.start + range.start..self.start + range.end) }
    }

    /// Rewinds the area to a checkpoint.
    ///
    /// # Errors
    ///
    /// Returns the kernel's error.
    ///
    /// # Safety
    ///
    /// The conditions of [`Area::bytes`] apply, for all pieces.
    pub(crate) unsafe fn rewind(&mut self, mapping: &mut Mapping, to: &AreaCheckpoint) -> io::Result<()> {
        if self.last != to.number {
            self.unprotect(mapping)?;
            self.written.clear();
            (self.last, self.stability) = (to.number, WriteStability::default());
        }
        let length = to.length();
        if length <= FEW_BYTES {
            // SAFETY: the caller's promise.
            unsafe { self.restore(mapping, to, 0..length) };
            return Ok(());
        }
        if let Some(write_protected) =
            self.write_protected.take_if(|write_protected| write_protected.is_broken())
        {
            self.written.extend(write_protected.first_written().map(|at| at / page_size() * page_size()));
            self.stability.reset();
        }
        if let Some(write_protected) = &self.write_protected {
            for range in write_protected
                .written()
                .iter()
                .cloned()
                .chain(std::iter::once(write_protected.length()..length))
            {
                // SAFETY: the caller's promise.
                unsafe { self.restore(mapping, to, range) };
            }
            return Ok(());
        }
        for page in (0..length).step_by(page_size()) {
            let range = page..(page + page_size()).min(length);
            // SAFETY: the caller's promise.
            let same = to
                .within(range.clone())
                .all(|(at, was)| unsafe { self.bytes(mapping, at..at + was.len()) } == was);
            if !same {
                self.written.insert(page);
                // SAFETY: the caller's promise.
                unsafe { self.restore(mapping, to, range) };
            }
        }
        if self.stability.is_stable_after(self.written.len(), length) {
            self.protect_unwritten(mapping, length / page_size() * page_size())?;
        }
        Ok(())
    }

    /// Write-protects the first `length` bytes except for the pages that have differed.
    fn protect_unwritten(&mut self, mapping: &mut Mapping, length: usize) -> io::Result<()> {
        let written = self.written.range(..length).map(|page| *page..page + page_size()).collect();
        let Some(write_protected) = WriteProtected::new(mapping.base() + self.start, length, written) else {
            self.stability.reset();
            return Ok(());
        };
        for range in write_protected.protected() {
            if mapping.protect(self.start + range.start, range.len(), Protection::Read).is_err() {
                self.stability.reset();
                return mapping.protect(self.start, length, Protection::ReadWrite);
            }
        }
        self.write_protected = Some(write_protected);
        Ok(())
    }

    /// Makes the whole area writable without faults.
    pub(crate) fn unprotect(&mut self, mapping: &mut Mapping) -> io::Result<()> {
        if let Some(write_protected) =
            self.write_protected.take_if(|write_protected| !write_protected.is_broken())
        {
            mapping.protect(self.start, write_protected.length(), Protection::ReadWrite)?;
        }
        self.write_protected = None;
        Ok(())
    }

    /// Copies the part of a checkpoint that lies in a range.
    ///
    /// # Safety
    ///
    /// The conditions of [`Area::rewind`] apply.
    #[inline]
    unsafe fn restore(&self, mapping: &mut Mapping, from: &AreaCheckpoint, range: Range<usize>) {
        for (at, bytes) in from.within(range) {
            // SAFETY: the caller's promise; the checkpoint's bytes are elsewhere (OWNED-MAPPING).
            unsafe { mapping.write(self.start + at, bytes) };
        }
    }

    /// Returns the offset of the first difference from a checkpoint within the first `length` bytes.
    ///
    /// # Safety
    ///
    /// The conditions of [`Area::bytes`] apply, for these bytes.
    pub(crate) unsafe fn difference(
        &self,
        mapping: &Mapping,
        was: &AreaCheckpoint,
        length: usize,
    ) -> Option<usize> {
        // SAFETY: the caller's promise.
        let now = unsafe { self.bytes(mapping, 0..length) };
        let mut end = 0;
        for (at, bytes) in was.pieces() {
            let between = first_written(&now[end..at]).map(|place| end + place);
            let inside = || first_difference(&now[at..at + bytes.len()], bytes).map(|place| at + place);
            if let Some(place) = between.or_else(inside) {
                return Some(place);
            }
            end = at + bytes.len();
        }
        first_written(&now[end..]).map(|place| end + place)
    }
}
