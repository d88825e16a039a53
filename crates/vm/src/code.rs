//! Memory that holds native code and its tables: private to the process, written once, then never writable again.

use crate::sys::{Mapping, Protection, page_size};
use anyhow::Context;
use belljar_abi::{CodeTables, Image, Part};
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
            mapping.prefer_large_pages();
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
        let base = std::ptr::with_exposed_provenance_mut::<u8>(self.mapping.base());
        // SAFETY: the mapping is at least `length` bytes of readable and writable memory, and ours alone
        // (OWNED-MAPPING).
        unsafe { std::slice::from_raw_parts_mut(base, self.length) }
    }
}

impl Deref for PrivateCopy {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let base = std::ptr::with_exposed_provenance::<u8>(self.mapping.base());
        // SAFETY: the mapping is at least `length` bytes of readable memory, which only `bytes_mut` writes
        // (OWNED-MAPPING).
        unsafe { std::slice::from_raw_parts(base, self.length) }
    }
}

/// Bytes from which on large pages are worth asking for.
const LARGE: usize = 2 << 20;

/// An image of code in memory: its text can be executed, the rest read, nothing written.
#[derive(Debug)]
pub struct CodeImage {
    copy: PrivateCopy,
    /// They lie in `copy`, and so are handed out for no longer than it lives.
    tables: CodeTables<'static>,
    text: Range<usize>,
}

impl CodeImage {
    /// Makes an image's text executable. Whoever calls this vouches for the code: it was compiled in this process, or
    /// its seal was checked in this very copy.
    ///
    /// # Errors
    ///
    /// Where the bytes are no image for this runtime, or pages cannot be protected.
    pub fn new(mut copy: PrivateCopy) -> anyhow::Result<Arc<Self>> {
        let image = Image::new(&copy)?;
        let (text, pages) = (image.range(Part::Text), image.text_pages());
        let pages = pages.start..pages.end.next_multiple_of(page_size());
        anyhow::ensure!(
            pages.start.is_multiple_of(page_size()),
            "the compiled module is for a machine with smaller pages"
        );
        let length = copy.mapping.length();
        copy.mapping
            .protect(0, length, Protection::Read)
            .and_then(|()| copy.mapping.protect(pages.start, pages.len(), Protection::ReadExecute))
            .context("the machine does not let code be executed")?;
        let tables = Image::new(&copy)?.tables();
        // SAFETY: CODE-IMAGE: the tables lie in the mapping, which this value keeps and never changes; they leave it
        // only with the lifetime of a borrow of it.
        let tables = unsafe { std::mem::transmute::<CodeTables<'_>, CodeTables<'static>>(tables) };
        Ok(Arc::new(Self { copy, tables, text }))
    }

    /// The whole image.
    pub fn bytes(&self) -> &[u8] {
        &self.copy
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

    /// Its tables.
    pub fn tables(&self) -> CodeTables<'_> {
        self.tables
    }

    /// Address of the first byte of the text.
    pub(crate) fn base(&self) -> usize {
        self.copy.mapping.base() + self.text.start
    }

    /// Addresses of the text.
    pub fn addresses(&self) -> Range<usize> {
        self.base()..self.base() + self.text.len()
    }
}
