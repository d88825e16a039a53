//! Files and directories as resources, and their streams.

use super::poll::Pollable;
use super::streams::{InputStream, OutputStream, StreamError, StreamResult};
use crate::WasiCtx;
use crate::ctx::OpenResource;
use crate::descriptor::Descriptor;
use crate::dir::{Dir, Opened};
use crate::file::File;
use crate::listing::Listing;
use crate::p1::Errno;
use crate::wait::{Event, is_readable, is_writable};
use bytes::Bytes;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

/// A resource `descriptor`: an open file or directory. Its streams keep it open.
#[derive(Clone)]
pub struct OpenDescriptor {
    of: Arc<Descriptor>,
    /// Counts it; a directory that the embedder granted is counted already.
    _counted: Option<Arc<OpenResource>>,
}

impl std::fmt::Debug for OpenDescriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.dir().is_ok() { "OpenDescriptor(directory)" } else { "OpenDescriptor(file)" })
    }
}

impl OpenDescriptor {
    /// Wraps a directory that the embedder granted.
    pub(super) fn granted(of: Arc<Descriptor>) -> Self {
        Self { of, _counted: None }
    }

    /// Wraps what a guest has opened.
    pub(super) fn opened(opened: Opened, counted: OpenResource) -> Self {
        let of = match opened {
            Opened::Dir(dir) => Descriptor::Dir(dir),
            Opened::File(file) => Descriptor::File(file),
        };
        Self { of: Arc::new(of), _counted: Some(Arc::new(counted)) }
    }

    pub(super) fn descriptor(&self) -> &Descriptor {
        &self.of
    }

    pub(super) fn dir(&self) -> Result<&Dir, Errno> {
        match &*self.of {
            Descriptor::Dir(dir) => Ok(dir),
            _ => Err(Errno::Notdir),
        }
    }

    pub(super) fn file(&self) -> Result<&File, Errno> {
        match &*self.of {
            Descriptor::File(file) => Ok(file),
            _ => Err(Errno::Badf),
        }
    }
}

/// How many bytes one call reads or writes.
pub(super) const PIECE: usize = 1 << 20;

/// Reads a file from a position on.
pub(super) struct FileInput {
    file: OpenDescriptor,
    position: u64,
}

impl FileInput {
    pub(super) fn new(file: OpenDescriptor, position: u64) -> Self {
        Self { file, position }
    }
}

impl Pollable for FileInput {
    fn ready(&self) -> Event<'_> {
        match self.file.file() {
            Ok(file) if !file.is_regular() => Event::Readable(file.as_fd()),
            _ => Event::Now,
        }
    }
}

impl InputStream for FileInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let file = self.file.file().map_err(io_error)?;
        if size == 0 || !file.is_regular() && !is_readable(file.as_fd()) {
            return Ok(Bytes::new());
        }
        match file.read_bytes(size.min(PIECE), self.position) {
            Ok(bytes) if bytes.is_empty() => Err(StreamError::Closed),
            Ok(bytes) => {
                self.position = self.position.saturating_add(bytes.len() as u64);
                Ok(bytes.into())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Bytes::new()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Writes a file, from a position on or at its end.
pub(super) struct FileOutput {
    file: OpenDescriptor,
    /// `None`: at the end.
    position: Option<u64>,
}

impl FileOutput {
    pub(super) fn new(file: OpenDescriptor, position: Option<u64>) -> Self {
        Self { file, position }
    }
}

impl Pollable for FileOutput {
    fn ready(&self) -> Event<'_> {
        match self.file.file() {
            Ok(file) if !file.is_regular() => Event::Writable(file.as_fd()),
            _ => Event::Now,
        }
    }
}

impl OutputStream for FileOutput {
    fn check_write(&mut self) -> StreamResult<usize> {
        let file = self.file.file().map_err(io_error)?;
        match file.is_regular() {
            true => Ok(PIECE),
            // What a pipe takes without blocking, if it takes any.
            false => Ok(if is_writable(file.as_fd()) { 4096 } else { 0 }),
        }
    }

    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let file = self.file.file().map_err(io_error)?;
        let mut left = &bytes[..];
        while !left.is_empty() {
            let written = match self.position {
                Some(position) if file.is_regular() => file.write_at(&[io::IoSlice::new(left)], position),
                _ => file.append(left),
            };
            match written {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(count) => {
                    left = &left[count..];
                    self.position = self.position.map(|position| position.saturating_add(count as u64));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }
}

fn io_error(errno: Errno) -> StreamError {
    crate::p1::Error::from(errno).into()
}

/// A resource `directory-entry-stream`: the names in a directory, without `.` and `..`.
#[derive(Debug)]
pub struct DirectoryEntryStream {
    entries: Arc<Listing>,
    next: usize,
}

impl DirectoryEntryStream {
    pub(super) fn new(ctx: &WasiCtx, dir: &Dir) -> io::Result<Self> {
        let entries = dir.entries(true, ctx.listings(), &|| ctx.must_end())?;
        dir.forget_entries();
        if !entries.may_keep {
            return Err(rustix::io::Errno::NOMEM.into());
        }
        Ok(Self { entries, next: 2 })
    }

    pub(super) fn next(&mut self) -> Option<&crate::listing::DirEntry> {
        let entry = self.entries.get(self.next)?;
        self.next += 1;
        Some(entry)
    }
}
