//! Memory that holds native code and its tables: private to the process, written once, then never writable again.

use crate::on_demand::{Damaged, OnDemand};
use crate::sys::{Mapping, Protection, page_size, populate, write_anywhere};
use anyhow::Context;
use belljar_abi::{CodeTables, IMAGE_HEADER_START, Image, ImageHeader, Part};
use belljar_core::CodeOffset;
use bytes::Bytes;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Bytes in memory of their own, which no file can change and nobody else has. What they are has not been checked.
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

    /// A copy of bytes.
    ///
    /// # Errors
    ///
    /// Where there is no memory for it.
    pub fn of(bytes: &[u8]) -> io::Result<Self> {
        let mut copy = Self::new(bytes.len())?;
        copy.bytes_mut().copy_from_slice(bytes);
        Ok(copy)
    }

    /// A copy of the first `length` bytes of a file.
    ///
    /// # Errors
    ///
    /// Where there is no memory for it, or the file cannot be read or is shorter.
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

    /// The same bytes, to be shared.
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
        // SAFETY: the mapping is readable and writable, and ours alone (OWNED-MAPPING).
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

/// Bytes from which on large pages are worth asking for.
const LARGE: usize = 2 << 20;

/// An image of code in memory: its text can be executed, the rest read, nothing written.
#[derive(Debug)]
pub struct CodeImage {
    holder: Holder,
    /// They lie in the holder's bytes, and so are handed out for no longer than it lives.
    tables: CodeTables<'static>,
    text: Range<usize>,
    accesses_start: usize,
    snapshot: Range<usize>,
    /// Why its text cannot be executed on this processor, if it cannot.
    foreign: Option<Box<str>>,
}

/// What holds an image's bytes.
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

impl CodeImage {
    /// Makes an image's text executable. Whoever calls this vouches for the code: it was compiled in this process, or
    /// its seal was checked in this very copy.
    ///
    /// # Errors
    ///
    /// Where the bytes are no image for this runtime, or pages cannot be protected.
    pub fn new(mut copy: PrivateCopy) -> anyhow::Result<Arc<Self>> {
        let pages = executable_pages(Image::new(&copy)?)?;
        let length = copy.mapping.length();
        copy.mapping
            .protect(0, length, Protection::Read)
            .and_then(|()| copy.mapping.protect(pages.start, pages.len(), Protection::ReadExecute))
            .context(NO_EXECUTION)?;
        Self::held(Holder::Copy(copy), None)
    }

    /// An image whose text is for another processor than this one, for the reason given: it can be described and kept, but
    /// stays what cannot be executed.
    ///
    /// # Errors
    ///
    /// As [`CodeImage::new`].
    pub fn for_another_processor(mut copy: PrivateCopy, why: &str) -> anyhow::Result<Arc<Self>> {
        let length = copy.mapping.length();
        copy.mapping.protect(0, length, Protection::Read).context(NO_EXECUTION)?;
        Self::held(Holder::Copy(copy), Some(why.into()))
    }

    /// Refuses code that is for another processor.
    ///
    /// # Errors
    ///
    /// Where it is, with what this one lacks.
    pub fn check_runs_here(&self) -> anyhow::Result<()> {
        match &self.foreign {
            None => Ok(()),
            Some(why) => anyhow::bail!("the module's code cannot be run here: {why}"),
        }
    }

    /// An image of which each block is checked before it is used. Its tables that the runtime relies on are loaded now;
    /// those that only tell where code comes from are loaded like the text, when they are first touched.
    ///
    /// # Errors
    ///
    /// As [`CodeImage::new`], and where one of those tables is damaged.
    pub fn on_demand(source: Arc<OnDemand>) -> anyhow::Result<Arc<Self>> {
        source.load(0..IMAGE_HEADER_END)?;
        let image = Image::new(source.bytes())?;
        for part in RELIED_ON {
            source.load(image.range(*part))?;
        }
        source.make_executable(executable_pages(image)?).context(NO_EXECUTION)?;
        Self::held(Holder::OnDemand(source), None)
    }

    /// With the image's text executable already, unless it is for another processor.
    fn held(holder: Holder, foreign: Option<Box<str>>) -> anyhow::Result<Arc<Self>> {
        let image = Image::new(holder.bytes())?;
        let (text, tables) = (image.range(Part::Text), image.tables());
        let accesses_start = image.range(Part::Accesses).start;
        let snapshot = image.range(Part::Snapshot);
        // SAFETY: CODE-IMAGE: the tables lie in the holder's memory, which this value keeps and never changes; they leave
        // it only with the lifetime of a borrow of it.
        let tables = unsafe { std::mem::transmute::<CodeTables<'_>, CodeTables<'static>>(tables) };
        Ok(Arc::new(Self { holder, tables, text, accesses_start, snapshot, foreign }))
    }

    /// The whole image. What was not loaded is when it is touched: see [`CodeImage::load`].
    pub fn bytes(&self) -> &[u8] {
        self.holder.bytes()
    }

    /// The snapshot of an instance that it holds, if it does.
    pub fn snapshot(&self) -> Option<&[u8]> {
        (!self.snapshot.is_empty()).then(|| &self.bytes()[self.snapshot.clone()])
    }

    /// Sees to it that a range of the bytes is there and right: it can be handed to the kernel, and damage is an error instead
    /// of zeros.
    ///
    /// # Errors
    ///
    /// Where it is damaged.
    pub fn load(&self, range: Range<usize>) -> Result<(), Damaged> {
        match &self.holder {
            Holder::Copy(_) => Ok(()),
            Holder::OnDemand(source) => source.load(range),
        }
    }

    /// The same as [`CodeImage::load`], of a part of [`CodeImage::bytes`]. Of other bytes there is nothing to load.
    ///
    /// # Errors
    ///
    /// Where it is damaged.
    pub fn load_part(&self, part: &[u8]) -> Result<(), Damaged> {
        self.range_of(part).map_or(Ok(()), |range| self.load(range))
    }

    /// Where a part of [`CodeImage::bytes`] lies; `None` of other bytes.
    fn range_of(&self, part: &[u8]) -> Option<Range<usize>> {
        let start = part.as_ptr().addr().wrapping_sub(self.bytes().as_ptr().addr());
        (start < self.bytes().len()).then_some(start..start + part.len())
    }

    /// The same as [`CodeImage::load`], of what tells whether an instruction accesses memory. Async-signal-safe, if `with_stack`
    /// calls what it is given where there is enough stack.
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

    /// Copies a part of [`CodeImage::bytes`], or other bytes, to memory that is mostly untouched.
    ///
    /// # Errors
    ///
    /// Where it is damaged.
    ///
    /// # Panics
    ///
    /// Where `to` is of another length.
    pub fn copy_part(&self, part: &[u8], to: &mut [u8]) -> Result<(), Damaged> {
        match (&self.holder, self.range_of(part)) {
            (Holder::OnDemand(source), Some(range)) => {
                // Perhaps from the file at once, which the kernel does; and a memory can have settled with the one before.
                write_anywhere(to);
                source.copy(range, to)
            }
            _ => {
                for (to, part) in to.chunks_mut(COPY_STEP).zip(part.chunks(COPY_STEP)) {
                    populate(to);
                    to.copy_from_slice(part);
                }
                Ok(())
            }
        }
    }

    /// Whether something that was touched turned out to be damaged, and was read as zeros.
    pub fn is_damaged(&self) -> bool {
        match &self.holder {
            Holder::Copy(_) => false,
            Holder::OnDemand(source) => source.is_damaged(),
        }
    }

    /// Some of its bytes. They keep all of it in memory.
    ///
    /// # Panics
    ///
    /// Where the range lies outside.
    pub fn share(self: &Arc<Self>, range: Range<usize>) -> Bytes {
        struct Owner(Arc<CodeImage>);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                self.0.bytes()
            }
        }
        Bytes::from_owner(Owner(self.clone())).slice(range)
    }

    /// The text. What was not loaded is when it is touched: see [`CodeImage::load_part`].
    pub fn text(&self) -> &[u8] {
        &self.bytes()[self.text.clone()]
    }

    /// How far the text can be read from an offset on without loading anything. Async-signal-safe.
    pub(crate) fn text_loaded_from(&self, at: usize) -> usize {
        match &self.holder {
            Holder::Copy(_) => self.text.len(),
            Holder::OnDemand(source) => {
                source.loaded_from(self.text.start + at).min(self.text.end) - self.text.start
            }
        }
    }

    /// Its tables.
    pub fn tables(&self) -> CodeTables<'_> {
        self.tables
    }

    /// Address of the first byte of the text.
    pub(crate) fn base(&self) -> usize {
        self.holder.bytes().as_ptr().addr() + self.text.start
    }

    /// Addresses of the text.
    pub fn addresses(&self) -> Range<usize> {
        self.base()..self.base() + self.text.len()
    }
}

/// Bytes whose pages are made at once: they are still in the processor's cache when they are written.
const COPY_STEP: usize = 256 << 10;

const NO_EXECUTION: &str = "the machine does not let code be executed";

/// Where an image's header ends.
const IMAGE_HEADER_END: usize = IMAGE_HEADER_START + size_of::<ImageHeader>();

/// Parts that the runtime believes without looking twice, but for [`Part::Accesses`], which is loaded when it is asked.
const RELIED_ON: &[Part] = &[
    Part::Funcs,
    Part::Traps,
    Part::StackMaps,
    Part::StackSlots,
    Part::Handlers,
    Part::Settings,
    Part::Metadata,
];

/// The pages that hold an image's text.
fn executable_pages(image: Image<'_>) -> anyhow::Result<Range<usize>> {
    let pages = image.text_pages();
    let pages = pages.start..pages.end.next_multiple_of(page_size());
    anyhow::ensure!(
        pages.start.is_multiple_of(page_size()),
        "the compiled module is for a machine with smaller pages"
    );
    Ok(pages)
}
