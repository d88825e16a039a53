//! Reading, writing and positions.

use std::io::{IoSlice, IoSliceMut};

use rustix::event::PollFlags;
use rustix::fs::SeekFrom;

use crate::ctx::WasiCtx;
use crate::descriptor::Descriptor;
use crate::fd_flags::FdFlags;
use crate::memory::{GuestMemory, Iovecs};
use crate::p1::layout::Version;
use crate::p1::{Errno, Error, Result};
use crate::wait::is_ready;

/// Reads into the buffers from the current position on and writes the count to `nread`.
pub fn fd_read(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nread: u32,
) -> Result {
    read(ctx, memory, (iovs, iovs_len), nread, fd, |descriptor, buffers, _| match descriptor {
        Descriptor::Input(input) => {
            if input.flags().contains(FdFlags::NONBLOCK) {
                check_ready(descriptor, PollFlags::IN)?;
            }
            ctx.restart(|| input.stream.read(buffers))
        }
        Descriptor::File(file) => ctx.restart(|| file.read(buffers)),
        Descriptor::Socket(socket) => {
            ctx.restart(|| socket.receive(buffers, false, false)).map(|(count, _)| count)
        }
        Descriptor::Output(_) | Descriptor::Dir(_) => Err(Errno::Badf.into()),
    })
}

/// Reads into the buffers from `offset` on without changing the position, and writes the count to `nread`.
pub fn fd_pread(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    nread: u32,
) -> Result {
    read(ctx, memory, (iovs, iovs_len), nread, fd, |descriptor, buffers, done| match descriptor {
        Descriptor::File(file) => {
            let offset = offset.checked_add(done).ok_or(Errno::Inval)?;
            ctx.restart(|| file.read_at(buffers, offset))
        }
        Descriptor::Input(_) | Descriptor::Socket(_) => Err(Errno::Spipe.into()),
        Descriptor::Output(_) | Descriptor::Dir(_) => Err(Errno::Badf.into()),
    })
}

fn read(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    (iovs, iovs_len): (u32, u32),
    nread: u32,
    fd: u32,
    mut read: impl FnMut(&Descriptor, &mut [IoSliceMut<'_>], u64) -> Result<usize>,
) -> Result {
    memory.check(nread, 4)?;
    let list = memory.iovecs(iovs, iovs_len, || ctx.check_interrupt())?;
    let descriptor = ctx.descriptor(fd)?;
    // Other descriptors may have no more bytes now, and the next piece would block.
    let all_pieces = matches!(&*descriptor, Descriptor::File(file) if file.is_regular());
    let count =
        read_within_quota(ctx, memory, list, all_pieces, |buffers, done| read(&descriptor, buffers, done))?;
    memory.write_u32(nread, count.try_into().map_err(|_| Errno::Overflow)?)?;
    Ok(())
}

/// Lets `read` fill the buffers, up to the guest's read quota.
///
/// # Errors
/// Returns the errors of `read`, and [`Errno::Io`] if the quota is used up and there is more to read.
pub(crate) fn read_within_quota(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    mut list: Iovecs,
    all_pieces: bool,
    mut read: impl FnMut(&mut [IoSliceMut<'_>], u64) -> Result<usize>,
) -> Result<usize> {
    let Some(reserved) = ctx.read_quota().reserve(&mut list) else {
        // The end of the file may still be reported.
        let count = read(&mut [IoSliceMut::new(&mut [0])], 0)?;
        return if count == 0 { Ok(0) } else { Err(ctx.read_quota_exceeded().into()) };
    };
    let count =
        piecewise(ctx, list, all_pieces, |piece, done| memory.scatter(piece, |buffers| read(buffers, done)))?;
    reserved.commit(count);
    Ok(count)
}

/// The most bytes that one system call moves. A call that copies cannot be interrupted, and copies some 5 GB/s; less if
/// it touches pages for the first time.
const PIECE: usize = 1 << 20;

/// Moves the bytes of a list in pieces, and checks between them whether the guest must end; moves only the first piece
/// unless `all_pieces`. `step` gets the number of bytes moved so far. Bytes moved before an error count: the next call
/// will meet the error.
fn piecewise(
    ctx: &WasiCtx,
    mut list: Iovecs,
    all_pieces: bool,
    mut step: impl FnMut(&Iovecs, u64) -> Result<usize>,
) -> Result<usize> {
    let mut done = 0;
    loop {
        let (piece, wanted) = first_piece(&mut list);
        match step(&piece, done as u64) {
            Ok(count) => {
                // The embedder's stream may return any number.
                let count = count.min(wanted);
                done += count;
                if count < wanted || !all_pieces || list.is_empty() {
                    return Ok(done);
                }
            }
            Err(Error::Errno(_)) if done > 0 => return Ok(done),
            Err(error) => return Err(error),
        }
        ctx.check_interrupt()?;
    }
}

/// Removes the first [`PIECE`] from a list of ranges, and returns it and its size in bytes.
fn first_piece(list: &mut Iovecs) -> (Iovecs, usize) {
    let (mut piece, mut size) = (Iovecs::new(), 0);
    while size < PIECE && !list.is_empty() {
        let range = list[0].clone();
        let end = range.end.min(range.start + PIECE - size);
        piece.push(range.start..end);
        size += end - range.start;
        if end == range.end {
            list.remove(0);
        } else {
            list[0].start = end;
        }
    }
    (piece, size)
}

/// Passes the buffers to `write`, up to the guest's write quota.
///
/// # Errors
/// Returns the errors of `write`, and [`Errno::Dquot`] if the quota is used up.
pub(crate) fn write_within_quota(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    mut list: Iovecs,
    mut write: impl FnMut(&[IoSlice<'_>], u64) -> Result<usize>,
) -> Result<usize> {
    let Some(reserved) = ctx.write_quota().reserve(&mut list) else {
        return Err(ctx.write_quota_exceeded().into());
    };
    let count =
        piecewise(ctx, list, true, |piece, done| memory.gather(piece, |buffers| write(buffers, done)))?;
    if reserved.is_cut {
        // A guest that ignores the count never learns of it otherwise.
        ctx.write_quota_exceeded();
    }
    reserved.commit(count);
    Ok(count)
}

/// Writes the buffers at the current position, or at the end of the file in append mode, and the count to
/// `nwritten`.
pub fn fd_write(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nwritten: u32,
) -> Result {
    write(ctx, memory, (iovs, iovs_len), nwritten, fd, |descriptor, buffers, _| match descriptor {
        Descriptor::Output(output) => {
            if output.flags().contains(FdFlags::NONBLOCK) {
                check_ready(descriptor, PollFlags::OUT)?;
            }
            ctx.restart(|| output.stream.write(buffers))
        }
        Descriptor::File(file) => ctx.restart(|| file.write(buffers)),
        Descriptor::Socket(socket) => ctx.restart(|| socket.send(buffers)),
        Descriptor::Input(_) | Descriptor::Dir(_) => Err(Errno::Badf.into()),
    })
}

/// Writes the buffers at `offset` and the count to `nwritten`; in append mode it writes at the end of the file, as on
/// Linux.
pub fn fd_pwrite(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    nwritten: u32,
) -> Result {
    write(ctx, memory, (iovs, iovs_len), nwritten, fd, |descriptor, buffers, done| match descriptor {
        Descriptor::File(file) => {
            let offset = offset.checked_add(done).ok_or(Errno::Inval)?;
            ctx.restart(|| file.write_at(buffers, offset))
        }
        Descriptor::Output(_) | Descriptor::Socket(_) => Err(Errno::Spipe.into()),
        Descriptor::Input(_) | Descriptor::Dir(_) => Err(Errno::Badf.into()),
    })
}

fn write(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    (iovs, iovs_len): (u32, u32),
    nwritten: u32,
    fd: u32,
    mut write: impl FnMut(&Descriptor, &[IoSlice<'_>], u64) -> Result<usize>,
) -> Result {
    memory.check(nwritten, 4)?;
    let list = memory.iovecs(iovs, iovs_len, || ctx.check_interrupt())?;
    let descriptor = ctx.descriptor(fd)?;
    let count = write_within_quota(ctx, memory, list, |buffers, done| write(&descriptor, buffers, done))?;
    memory.write_u32(nwritten, count.try_into().map_err(|_| Errno::Overflow)?)?;
    Ok(())
}

/// Checks readiness first, for streams whose host descriptor must not be made non-blocking.
fn check_ready(descriptor: &Descriptor, flags: PollFlags) -> Result {
    match descriptor.poll_fd() {
        Some(fd) if !is_ready(fd, flags) => Err(Errno::Again.into()),
        _ => Ok(()),
    }
}

/// Moves the position by `offset` from the start (`whence` 0), the position (1) or the end (2) and writes the new
/// position to `position`.
pub fn fd_seek(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    offset: u64,
    whence: u32,
    position: u32,
) -> Result {
    seek(ctx, memory, fd, offset.cast_signed(), whence, position, Version::Preview1)
}

pub(crate) fn seek(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    offset: i64,
    whence: u32,
    position: u32,
    version: Version,
) -> Result {
    memory.check(position, 8)?;
    // In `wasi_unstable` the order is: position, end, start.
    let to = match (whence, version) {
        (0, Version::Preview1) | (2, Version::Unstable) => {
            SeekFrom::Start(offset.try_into().map_err(|_| Errno::Inval)?)
        }
        (1, Version::Preview1) | (0, Version::Unstable) => SeekFrom::Current(offset),
        (2, Version::Preview1) | (1, Version::Unstable) => SeekFrom::End(offset),
        _ => return Err(Errno::Inval.into()),
    };
    let descriptor = ctx.descriptor(fd)?;
    let file = seekable(&descriptor)?;
    memory.write_u64(position, ctx.restart(|| file.seek(to))?)?;
    Ok(())
}

/// Writes the current position.
pub fn fd_tell(ctx: &WasiCtx, memory: &mut GuestMemory<'_>, fd: u32, position: u32) -> Result {
    let descriptor = ctx.descriptor(fd)?;
    let file = seekable(&descriptor)?;
    memory.write_u64(position, file.tell()?)?;
    Ok(())
}

fn seekable(descriptor: &Descriptor) -> Result<&crate::file::File, Errno> {
    match descriptor {
        Descriptor::File(file) => Ok(file),
        Descriptor::Dir(_) => Err(Errno::Badf),
        Descriptor::Input(_) | Descriptor::Output(_) | Descriptor::Socket(_) => Err(Errno::Spipe),
    }
}
