//! Reads debug sections for `gimli`, directly from the module's bytes and within a budget.
//!
//! Debug information comes from the guest. It can be written so that following it takes quadratic time (a
//! million entries that share one list of a million ranges), which no parser notices. Therefore every reader step
//! costs something; when the budget is used up, all readers of the source report the end of their input,
//! which ends any loop over it.

use bytes::Bytes;
use gimli::{LittleEndian, Reader, ReaderOffsetId};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The bytes that all readers of a module share, and their remaining budget.
pub(crate) struct Source {
    bytes: Bytes,
    budget: AtomicU64,
}

impl Source {
    /// Creates a source for the part of a binary that holds the debug sections, with an empty budget.
    pub(crate) fn new(bytes: Bytes) -> Arc<Self> {
        Arc::new(Self { bytes, budget: AtomicU64::new(0) })
    }

    /// Sets how many steps may be taken from now on.
    pub(crate) fn set_budget(&self, steps: u64) {
        self.budget.store(steps, Relaxed);
    }

    /// Returns how many steps may still be taken.
    pub(crate) fn remaining(&self) -> u64 {
        self.budget.load(Relaxed)
    }

    /// Returns whether the budget is used up.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.remaining() == 0
    }
}

/// A reader of a part of the binary.
#[derive(Clone)]
pub(crate) struct SectionReader {
    source: Arc<Source>,
    start: usize,
    end: usize,
}

impl SectionReader {
    /// Creates a reader of `range`, which lies in the source.
    pub(crate) fn new(source: &Arc<Source>, range: std::ops::Range<usize>) -> Self {
        debug_assert!(range.start <= range.end && range.end <= source.bytes.len());
        Self { source: source.clone(), start: range.start, end: range.end }
    }

    fn bytes(&self) -> &[u8] {
        &self.source.bytes[self.start..self.end]
    }

    fn eof(&self) -> gimli::Error {
        gimli::Error::UnexpectedEof(self.offset_id())
    }

    /// Charges steps to the budget. Lookups of one module are serial, so a plain load and store suffice.
    fn charge(&self, steps: u64) -> gimli::Result<()> {
        let left = self.source.budget.load(Relaxed).saturating_sub(steps);
        self.source.budget.store(left, Relaxed);
        if left == 0 { Err(self.eof()) } else { Ok(()) }
    }

    /// Charges for reading a string or block, which may be copied.
    fn charge_bytes(&self, bytes: usize) -> gimli::Result<()> {
        self.charge(1 + bytes as u64 / 4)
    }
}

impl fmt::Debug for SectionReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SectionReader({:#x}..{:#x})", self.start, self.end)
    }
}

impl Reader for SectionReader {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn empty(&mut self) {
        self.end = self.start;
    }

    fn truncate(&mut self, len: usize) -> gimli::Result<()> {
        self.charge(1)?;
        if len > self.len() {
            return Err(self.eof());
        }
        self.end = self.start + len;
        Ok(())
    }

    fn offset_from(&self, base: &Self) -> usize {
        self.start.saturating_sub(base.start)
    }

    fn offset_id(&self) -> ReaderOffsetId {
        ReaderOffsetId(self.start as u64)
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        let at = usize::try_from(id.0).ok()?;
        (self.start..=self.end).contains(&at).then(|| at - self.start)
    }

    fn find(&self, byte: u8) -> gimli::Result<usize> {
        let found = self.bytes().iter().position(|&b| b == byte);
        self.charge_bytes(found.unwrap_or(self.len()))?;
        found.ok_or_else(|| self.eof())
    }

    fn skip(&mut self, len: usize) -> gimli::Result<()> {
        self.charge(1)?;
        if len > self.len() {
            return Err(self.eof());
        }
        self.start += len;
        Ok(())
    }

    fn split(&mut self, len: usize) -> gimli::Result<Self> {
        let mut head = self.clone();
        head.truncate(len)?;
        self.start += len;
        Ok(head)
    }

    fn to_slice(&self) -> gimli::Result<Cow<'_, [u8]>> {
        self.charge_bytes(self.len())?;
        Ok(Cow::Borrowed(self.bytes()))
    }

    fn to_string(&self) -> gimli::Result<Cow<'_, str>> {
        self.charge_bytes(self.len())?;
        std::str::from_utf8(self.bytes()).map(Cow::Borrowed).map_err(|_| gimli::Error::BadUtf8)
    }

    fn to_string_lossy(&self) -> gimli::Result<Cow<'_, str>> {
        self.charge_bytes(self.len())?;
        Ok(String::from_utf8_lossy(self.bytes()))
    }

    fn read_slice(&mut self, buf: &mut [u8]) -> gimli::Result<()> {
        self.charge(1)?;
        let len = buf.len();
        buf.copy_from_slice(self.bytes().get(..len).ok_or_else(|| self.eof())?);
        self.start += len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8], steps: u64) -> SectionReader {
        let source = Source::new(Bytes::copy_from_slice(bytes));
        source.set_budget(steps);
        SectionReader::new(&source, 0..bytes.len())
    }

    #[test]
    fn it_reads_parts() {
        let mut all = reader(b"\x01\x02\x00abc\0def", 1000);
        assert_eq!(all.read_u16().unwrap(), 0x201);
        assert_eq!(all.read_u8().unwrap(), 0);
        let base = all.clone();
        let name = all.read_null_terminated_slice().unwrap();
        assert_eq!(name.to_string().unwrap(), "abc");
        assert_eq!(all.offset_from(&base), 4);
        assert_eq!(all.lookup_offset_id(all.offset_id()), Some(0));
        let mut tail = all.split(2).unwrap();
        assert_eq!((tail.len(), all.len()), (2, 1));
        assert!(tail.read_u32().is_err());
        assert!(tail.skip(3).is_err() && tail.truncate(3).is_err() && tail.find(b'x').is_err());
    }

    #[test]
    fn it_ends_when_the_budget_does() {
        let mut all = reader(&[7; 100], 50);
        let steps = std::iter::from_fn(|| all.read_u8().ok()).count();
        assert_eq!(steps, 49);
        assert!(all.source.is_exhausted());
        all.source.set_budget(2);
        assert!(all.read_u8().is_ok());
    }
}
