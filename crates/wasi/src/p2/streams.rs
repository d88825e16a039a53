//! Streams of bytes: `wasi:io/streams`.

use super::failure::ends;
use super::poll::Pollable;
use super::view::WasiCtxView;
use crate::p1;
use crate::wait;
use belljar::component::{Resource, ResourceTableError};
use bytes::Bytes;
use std::fmt;

/// A resource `error`: why an operation of a stream failed.
#[derive(Debug)]
pub struct IoError(belljar::Error);

impl IoError {
    /// Wraps an error. Of one that is, or contains, a [`std::io::Error`] a guest can ask the error code.
    pub fn new(error: impl Into<belljar::Error>) -> Self {
        Self(error.into())
    }

    /// Returns the error, or what it contains, if it is of this type.
    pub fn downcast_ref<E: fmt::Display + fmt::Debug + Send + Sync + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }

    /// Returns the number of an error of the system, or of WASI's own.
    pub(super) fn errno(&self) -> Option<p1::Errno> {
        let of_system = || {
            let error = self.0.downcast_ref::<std::io::Error>()?;
            Some(match rustix::io::Errno::from_io_error(error) {
                Some(errno) => errno.into(),
                None => std::io::Error::from(error.kind()).into(),
            })
        };
        self.0.downcast_ref::<p1::Errno>().copied().or_else(of_system)
    }

    /// Returns the number of an error of the system.
    pub(super) fn system_errno(&self) -> Option<rustix::io::Errno> {
        self.0.downcast_ref::<std::io::Error>().and_then(rustix::io::Errno::from_io_error)
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// Why an operation of a stream did not succeed.
#[derive(Debug)]
pub enum StreamError {
    /// The stream is at its end: nothing can be read from it, or written to it, any more.
    Closed,
    /// An operation has failed.
    LastOperationFailed(IoError),
    /// The guest has done what it must not do, and ends.
    Trap(belljar::Error),
}

/// The result of an operation of a stream.
pub type StreamResult<T> = Result<T, StreamError>;

impl StreamError {
    /// Returns an error that ends the guest.
    pub fn trap(message: &str) -> Self {
        Self::Trap(belljar::Error::msg(message.to_owned()))
    }
}

impl From<std::io::Error> for StreamError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::LastOperationFailed(IoError::new(error)),
        }
    }
}

impl From<rustix::io::Errno> for StreamError {
    fn from(errno: rustix::io::Errno) -> Self {
        std::io::Error::from(errno).into()
    }
}

impl From<ResourceTableError> for StreamError {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl From<p1::Error> for StreamError {
    fn from(error: p1::Error) -> Self {
        match error {
            p1::Error::Errno(p1::Errno::Pipe) => Self::Closed,
            p1::Error::Errno(errno) => Self::LastOperationFailed(IoError::new(belljar::Error::new(errno))),
            other => Self::Trap(ends(other)),
        }
    }
}

/// A resource `input-stream`: bytes that a guest reads.
pub trait InputStream: Pollable {
    /// Returns at most `size` bytes, and none if it would have to wait for them.
    ///
    /// # Errors
    ///
    /// Returns [`StreamError::Closed`] at the end, or why it cannot be read.
    fn read(&mut self, size: usize) -> StreamResult<Bytes>;

    /// Skips at most `size` bytes. Returns how many.
    ///
    /// # Errors
    ///
    /// Returns an error as [`InputStream::read`] does.
    fn skip(&mut self, size: usize) -> StreamResult<usize> {
        self.read(size).map(|bytes| bytes.len())
    }
}

/// A resource `output-stream`: bytes that a guest writes.
pub trait OutputStream: Pollable {
    /// Returns how many bytes [`OutputStream::write`] takes now: 0 if the guest has to wait until the stream is ready.
    ///
    /// # Errors
    ///
    /// Returns [`StreamError::Closed`] if nothing can be written any more, or why an earlier operation failed.
    fn check_write(&mut self) -> StreamResult<usize>;

    /// Writes bytes, as many as [`OutputStream::check_write`] has allowed or fewer, without waiting.
    ///
    /// # Errors
    ///
    /// Returns an error as [`OutputStream::check_write`] does.
    fn write(&mut self, bytes: Bytes) -> StreamResult<()>;

    /// Begins to pass on everything that was written. The stream takes no more until this is done.
    ///
    /// # Errors
    ///
    /// Returns an error as [`OutputStream::check_write`] does.
    fn flush(&mut self) -> StreamResult<()>;
}

/// What stands for an `input-stream` in the table.
pub type DynInputStream = Box<dyn InputStream>;
/// What stands for an `output-stream` in the table.
pub type DynOutputStream = Box<dyn OutputStream>;

/// The most bytes that one call moves.
const MAX_MOVED: u64 = 1 << 20;

fn moved(wanted: u64) -> u64 {
    wanted.min(MAX_MOVED)
}

/// Reads, or skips, within the guest's quota. `wait` says whether to wait for at least one byte.
fn read_with<R>(
    view: &mut WasiCtxView<'_>,
    stream: &Resource<DynInputStream>,
    wanted: u64,
    wait: bool,
    read: impl Fn(&mut DynInputStream, usize) -> StreamResult<R>,
    length: impl Fn(&R) -> usize,
) -> StreamResult<R> {
    let wanted = moved(wanted);
    let (ctx, table) = (&*view.ctx, &mut *view.table);
    loop {
        let quota = match ctx.read_quota().reserve_count(wanted) {
            Some(reserved) => reserved,
            None => {
                // The end may still be reported.
                let left = read(table.get_mut(stream)?, 1)?;
                if length(&left) > 0 || wait {
                    return Err(p1::Error::from(ctx.read_quota_exceeded()).into());
                }
                return Ok(left);
            }
        };
        let done = read(table.get_mut(stream)?, quota.count() as usize)?;
        let count = length(&done);
        quota.commit(count);
        if count > 0 || wanted == 0 || !wait {
            return Ok(done);
        }
        wait::wait(ctx, &[table.get(stream)?.ready()])?;
    }
}

pub(super) fn read(
    view: &mut WasiCtxView<'_>,
    stream: &Resource<DynInputStream>,
    wanted: u64,
    wait: bool,
) -> StreamResult<Vec<u8>> {
    read_with(view, stream, wanted, wait, |stream, size| stream.read(size), Bytes::len).map(Vec::from)
}

pub(super) fn skip(
    view: &mut WasiCtxView<'_>,
    stream: &Resource<DynInputStream>,
    wanted: u64,
    wait: bool,
) -> StreamResult<u64> {
    read_with(view, stream, wanted, wait, |stream, size| stream.skip(size), |count| *count)
        .map(|count| count as u64)
}

pub(super) fn check_write(
    view: &mut WasiCtxView<'_>,
    stream: &Resource<DynOutputStream>,
) -> StreamResult<u64> {
    Ok(view.table.get_mut(stream)?.check_write()? as u64)
}

/// Writes, within the guest's quota.
pub(super) fn write(
    view: &mut WasiCtxView<'_>,
    stream: &Resource<DynOutputStream>,
    bytes: Bytes,
) -> StreamResult<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let exceeded = |view: &WasiCtxView<'_>| Err(p1::Error::from(view.ctx.write_quota_exceeded()).into());
    let Some(quota) = view.ctx.write_quota().reserve_count(bytes.len() as u64) else { return exceeded(view) };
    let count = quota.count() as usize;
    view.table.get_mut(stream)?.write(bytes.slice(..count))?;
    quota.commit(count);
    if count < bytes.len() { exceeded(view) } else { Ok(()) }
}

/// Waits until the stream takes bytes. Returns how many.
fn wait_for_room(view: &mut WasiCtxView<'_>, stream: &Resource<DynOutputStream>) -> StreamResult<usize> {
    loop {
        match view.table.get_mut(stream)?.check_write()? {
            0 => wait::wait(view.ctx, &[view.table.get(stream)?.ready()])?,
            count => return Ok(count),
        };
    }
}

pub(super) fn flush(view: &mut WasiCtxView<'_>, stream: &Resource<DynOutputStream>) -> StreamResult<()> {
    view.table.get_mut(stream)?.flush()
}

pub(super) fn blocking_flush(
    view: &mut WasiCtxView<'_>,
    stream: &Resource<DynOutputStream>,
) -> StreamResult<()> {
    flush(view, stream)?;
    wait_for_room(view, stream).map(drop)
}

/// The most bytes of one blocking write, by the interface's definition.
const MAX_BLOCKING: u64 = 4096;

fn check_blocking(count: u64) -> StreamResult<()> {
    match count > MAX_BLOCKING {
        true => Err(StreamError::trap("a blocking write of more than 4096 bytes: write fewer at once")),
        false => Ok(()),
    }
}

pub(super) fn blocking_write_and_flush(
    view: &mut WasiCtxView<'_>,
    stream: &Resource<DynOutputStream>,
    bytes: Vec<u8>,
) -> StreamResult<()> {
    check_blocking(bytes.len() as u64)?;
    let mut bytes = Bytes::from(bytes);
    while !bytes.is_empty() {
        let room = wait_for_room(view, stream)?;
        let now = bytes.split_to(room.min(bytes.len()));
        write(view, stream, now)?;
    }
    blocking_flush(view, stream)
}

pub(super) fn write_zeroes(
    view: &mut WasiCtxView<'_>,
    stream: &Resource<DynOutputStream>,
    count: u64,
) -> StreamResult<()> {
    if count > check_write(view, stream)? {
        return Err(StreamError::trap("a write of more bytes than `check-write` has allowed"));
    }
    write(view, stream, Bytes::from(vec![0; count as usize]))
}

pub(super) fn blocking_write_zeroes_and_flush(
    view: &mut WasiCtxView<'_>,
    stream: &Resource<DynOutputStream>,
    count: u64,
) -> StreamResult<()> {
    check_blocking(count)?;
    blocking_write_and_flush(view, stream, vec![0; count as usize])
}

pub(super) fn splice(
    view: &mut WasiCtxView<'_>,
    to: &Resource<DynOutputStream>,
    from: &Resource<DynInputStream>,
    wanted: u64,
    wait: bool,
) -> StreamResult<u64> {
    let room = if wait { wait_for_room(view, to)? as u64 } else { check_write(view, to)? };
    let wanted = wanted.min(room);
    if wanted == 0 {
        return Ok(0);
    }
    let bytes = Bytes::from(read(view, from, wanted, wait)?);
    let count = bytes.len() as u64;
    write(view, to, bytes)?;
    Ok(count)
}
