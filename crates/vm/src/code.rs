//! Memory that holds native code and its tables: private to the process, written once, then never writable again.

use crate::on_demand::{Damaged, OnDemand};
use crate::sys::{Mapping, Protection, page_size, populate, write_anywhere};
use belljar_abi::{CodeTables, IMAGE_HEADER_START, Image, ImageError, ImageHeader, Part, TrampolineRow};
use belljar_core::{CodeOffset, Context};
use bytes::Bytes;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;
use zerocopy::FromBytes;

/// Bytes in private memory, which no file can change. They have not been checked.
#[derive(Debug)]
pub struct PrivateCopy {
    mapping: Mapping,
    length: usize,
}

impl PrivateCopy {
    fn new(length: usize) -> io::Result<Self> {
        let room = length.max(1).checked_next_multiple_of(page_size()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut mapping = Mapping::new(room, Protection::ReadWrite)?;
        if room >= LARGE {
            mapping.prefer_large_pages(0..mapping.length(), true);
        }
        Ok(Self { mapping, length })
    }

    /// Copies bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no memory for them.
    pub fn of(bytes: &[u8]) -> io::Result<Self> {
        let mut copy = Self::new(bytes.len())?;
        copy.bytes_mut().copy_from_slice(bytes);
        Ok(copy)
    }

    /// Copies the first `length` bytes of a file.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no memory for them, or the file cannot be read or is shorter.
    pub fn read(file: &File, length: u64) -> io::Result<Self> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut copy = Self::new(length)?;
        let mut at = 0;
        while at < length {
            match rustix::io::pread(file, &mut copy.bytes_mut()[at..], at as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => at += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(copy)
    }

    /// Converts the copy to shared bytes.
    pub fn into_bytes(self) -> Bytes {
        struct Owner(PrivateCopy);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Bytes::from_owner(Owner(self))
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is readable and writable, and owned by `self` (OWNED-MAPPING).
        unsafe { self.mapping.bytes_mut(0..self.length) }
    }
}

impl Deref for PrivateCopy {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is readable, and only `bytes_mut` writes it (OWNED-MAPPING).
        unsafe { self.mapping.bytes(0..self.length) }
    }
}

/// Bytes from which on large pages are worth requesting.
const LARGE: usize = 2 << 20;

/// An image of code in memory: its text is executable, the rest is readable, and nothing is writable.
#[derive(Debug)]
pub struct CodeImage {
    holder: Holder,
    /// They lie in the holder's bytes, and are lent only for as long as it lives.
    tables: CodeTables<'static>,
    text: Range<usize>,
    accesses_start: usize,
    snapshot: Range<usize>,
    /// The rows of its trampolines, and their code.
    trampolines: [Range<usize>; 2],
    /// The reason why its text cannot be executed on this processor, if there is one.
    foreign: Option<Box<str>>,
}

/// The owner of an image's bytes.
#[derive(Debug)]
enum Holder {
    Copy(PrivateCopy),
    OnDemand(Arc<OnDemand>),
}

impl Holder {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copy(copy) => copy,
            Self::OnDemand(source) => source.bytes(),
        }
    }
}

/// Copies bytes to a memory whose pages are not there yet.
///
/// # Panics
///
/// Panics if the lengths differ.
pub(crate) fn copy_in_steps(from: &[u8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len());
    for (to, from) in to.chunks_mut(COPY_STEP).zip(from.chunks(COPY_STEP)) {
        populate(to);
        to.copy_from_slice(from);
    }
}

impl CodeImage {
    /// Makes an image's text executable. The caller guarantees that the code is genuine: it was compiled in this
    /// process, or its seal was checked in this very copy.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not an image for this runtime, or pages cannot be protected.
    pub fn new(mut copy: PrivateCopy) -> belljar_core::Result<Arc<Self>> {
        let pages = executable_pages(Image::new(&copy)?)?;
        let length = copy.mapping.length();
        copy.mapping
            .protect(0, length, Protection::Read)
            .and_then(|()| copy.mapping.protect(pages.start, pages.len(), Protection::ReadExecute))
            .context(NO_EXECUTION)?;
        Self::held(Holder::Copy(copy), None)
    }

    /// Creates an image whose text is for another processor, for the given reason. It can be described and stored, but
    /// never becomes executable.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`CodeImage::new`].
    pub fn for_another_processor(mut copy: PrivateCopy, why: &str) -> belljar_core::Result<Arc<Self>> {
        let length = copy.mapping.length();
        copy.mapping.protect(0, length, Protection::Read).context(NO_EXECUTION)?;
        Self::held(Holder::Copy(copy), Some(why.into()))
    }

    /// Checks that the code is for this processor.
    ///
    /// # Errors
    ///
    /// Returns what this processor lacks if it is not.
    pub fn check_runs_here(&self) -> belljar_core::Result<()> {
        match &self.foreign {
            None => Ok(()),
            Some(why) => belljar_core::bail!("the module's code cannot be run here: {why}"),
        }
    }

    /// Creates an image whose blocks are checked before they are used. The tables that the runtime relies on are loaded
    /// now. Those that only tell where code comes from are loaded on first access, like the text.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`CodeImage::new`], or an error if one of those tables is damaged.
    pub fn on_demand(source: Arc<OnDemand>) -> belljar_core::Result<Arc<Self>> {
        source.load(0..IMAGE_HEADER_END)?;
        let image = Image::new(source.bytes())?;
        for part in RELIED_ON {
            source.load(image.range(*part))?;
        }
        source.make_executable(executable_pages(image)?).context(NO_EXECUTION)?;
        Self::held(Holder::OnDemand(source), None)
    }

    /// Creates the value. The image's text is already executable, unless it is for another processor.
    fn held(holder: Holder, foreign: Option<Box<str>>) -> belljar_core::Result<Arc<Self>> {
        let image = Image::new(holder.bytes())?;
        let (text, tables) = (image.range(Part::Text), image.tables());
        let accesses_start = image.range(Part::Accesses).start;
        let snapshot = image.range(Part::Snapshot);
        let trampolines = [Part::Trampolines, Part::TrampolineCode].map(|part| image.range(part));
        // SAFETY: CODE-IMAGE: the tables lie in the holder's memory, which this value keeps and never changes; they
        // leave it only with the lifetime of a borrow of it.
        let tables = unsafe { std::mem::transmute::<CodeTables<'_>, CodeTables<'static>>(tables) };
        Ok(Arc::new(Self { holder, tables, text, accesses_start, snapshot, trampolines, foreign }))
    }

    /// Returns the whole image. Missing blocks are loaded on access: see [`CodeImage::load`].
    pub fn bytes(&self) -> &[u8] {
        self.holder.bytes()
    }

    /// Returns the snapshot of an instance that the image contains, if it does.
    pub fn snapshot(&self) -> Option<&[u8]> {
        (!self.snapshot.is_empty()).then(|| &self.bytes()[self.snapshot.clone()])
    }

    /// Returns whether the image contains trampolines that can run here.
    pub(crate) fn has_trampolines(&self) -> bool {
        !self.trampolines[0].is_empty() && self.foreign.is_none()
    }

    /// Returns the trampolines that the image contains, and the bytes that hold their code.
    ///
    /// # Errors
    ///
    /// Returns an error if they are damaged.
    pub(crate) fn trampolines(&self) -> belljar_core::Result<(&[TrampolineRow], &[u8])> {
        for range in &self.trampolines {
            self.load(range.clone())?;
        }
        let [rows, code] = self.trampolines.clone().map(|range| &self.bytes()[range]);
        let rows = <[TrampolineRow]>::ref_from_bytes(rows);
        Ok((rows.map_err(|_| ImageError::Part(Part::Trampolines))?, code))
    }

    /// Ensures that a range of the bytes is loaded and correct: then it can be passed to the kernel, and damage is an
    /// error instead of zeros.
    ///
    /// # Errors
    ///
    /// Returns an error if it is damaged.
    pub fn load(&self, range: Range<usize>) -> Result<(), Damaged> {
        match &self.holder {
            Holder::Copy(_) => Ok(()),
            Holder::OnDemand(source) => source.load(range),
        }
    }

    /// The same as [`CodeImage::load`], for a part of [`CodeImage::bytes`]. Other bytes need no loading.
    ///
    /// # Errors
    ///
    /// Returns an error if it is damaged.
    pub fn load_part(&self, part: &[u8]) -> Result<(), Damaged> {
        self.range_of(part).map_or(Ok(()), |range| self.load(range))
    }

    /// Returns the range of a part of [`CodeImage::bytes`]; `None` for other bytes.
    fn range_of(&self, part: &[u8]) -> Option<Range<usize>> {
        let start = part.as_ptr().addr().wrapping_sub(self.bytes().as_ptr().addr());
        (start < self.bytes().len()).then_some(start..start + part.len())
    }

    /// The same as [`CodeImage::load`], for the table that tells whether an instruction accesses memory.
    /// Async-signal-safe, if `with_stack` calls its argument where there is enough stack.
    pub(crate) fn load_access(
        &self,
        offset: CodeOffset,
        with_stack: impl FnOnce(&mut dyn FnMut()),
    ) -> Result<(), Damaged> {
        let Holder::OnDemand(source) = &self.holder else { return Ok(()) };
        let at = self.accesses_start + CodeTables::access_byte(offset);
        if source.is_loaded(at) {
            return Ok(());
        }
        let mut loaded = Ok(());
        with_stack(&mut || loaded = source.load(at..at + 1));
        loaded
    }

    /// Copies a part of [`CodeImage::bytes`], or other bytes, to mostly untouched memory.
    ///
    /// # Errors
    ///
    /// Returns an error if it is damaged.
    ///
    /// # Panics
    ///
    /// Panics if `to` has another length.
    pub fn copy_part(&self, part: &[u8], to: &mut [u8]) -> Result<(), Damaged> {
        match (&self.holder, self.range_of(part)) {
            (Holder::OnDemand(source), Some(range)) => {
                // The kernel may read the file directly into it, and a reused memory can still be write-protected.
                write_anywhere(to);
                source.copy(range, to)
            }
            _ => {
                copy_in_steps(part, to);
                Ok(())
            }
        }
    }

    /// Returns whether a block that was accessed turned out to be damaged, and was read as zeros.
    pub fn is_damaged(&self) -> bool {
        match &self.holder {
            Holder::Copy(_) => false,
            Holder::OnDemand(source) => source.is_damaged(),
        }
    }

    /// Returns some of the bytes, which keep all of the image in memory.
    ///
    /// # Panics
    ///
    /// Panics if the range is out of bounds.
    pub fn share(self: &Arc<Self>, range: Range<usize>) -> Bytes {
        struct Owner(Arc<CodeImage>);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                self.0.bytes()
            }
        }
        Bytes::from_owner(Owner(self.clone())).slice(range)
    }

    /// Returns the text. Missing blocks are loaded on access: see [`CodeImage::load_part`].
    pub fn text(&self) -> &[u8] {
        &self.bytes()[self.text.clone()]
    }

    /// Returns up to which offset the text can be read from `at` on without loading anything. Async-signal-safe.
    pub(crate) fn text_loaded_from(&self, at: usize) -> usize {
        match &self.holder {
            Holder::Copy(_) => self.text.len(),
            Holder::OnDemand(source) => {
                source.loaded_from(self.text.start + at).min(self.text.end) - self.text.start
            }
        }
    }

    /// Returns the tables.
    pub fn tables(&self) -> CodeTables<'_> {
        self.tables
    }

    /// Returns the address of the first byte of the text.
    pub(crate) fn base(&self) -> usize {
        self.holder.bytes().as_ptr().addr() + self.text.start
    }

    /// Returns the addresses of the text.
    pub fn addresses(&self) -> Range<usize> {
        self.base()..self.base() + self.text.len()
    }
}

/// Bytes whose pages are populated at once: they are still in the processor's cache when they are written.
const COPY_STEP: usize = 256 << 10;

const NO_EXECUTION: &str = "the machine does not allow code in memory to be executed";

/// The end of an image's header.
const IMAGE_HEADER_END: usize = IMAGE_HEADER_START + size_of::<ImageHeader>();

/// Parts that the runtime uses without checking again, except for [`Part::Accesses`], which is loaded on request.
const RELIED_ON: &[Part] = &[
    Part::Funcs,
    Part::Traps,
    Part::StackMaps,
    Part::StackSlots,
    Part::Handlers,
    Part::Settings,
    Part::Metadata,
];

/// Returns the pages that hold an image's text.
fn executable_pages(image: Image<'_>) -> belljar_core::Result<Range<usize>> {
    let pages = image.text_pages();
    let pages = pages.start..pages.end.next_multiple_of(page_size());
    belljar_core::ensure!(
        pages.start.is_multiple_of(page_size()),
        "the compiled module is for a machine with smaller pages"
    );
    Ok(pages)
}
