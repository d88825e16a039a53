//! Reading, writing and positions.

use std::io::{IoSlice, IoSliceMut};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::SeekFrom;
use rustix::time::Timespec;

use crate::ctx::WasiCtx;
use crate::descriptor::{Descriptor, FdFlags};
use crate::memory::{GuestMemory, Iovecs};
use crate::p1::layout::Version;
use crate::p1::{Errno, Result};

/// Reads into the buffers from the current position on and writes the count to `nread`.
pub fn fd_read(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nread: u32,
) -> Result {
    read(ctx, memory, (iovs, iovs_len), nread, fd, |descriptor, buffers| match descriptor {
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

/// Reads into the buffers from `offset` on, leaves the position alone and writes the count to `nread`.
pub fn fd_pread(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    nread: u32,
) -> Result {
    read(ctx, memory, (iovs, iovs_len), nread, fd, |descriptor, buffers| match descriptor {
        Descriptor::File(file) => ctx.restart(|| file.read_at(buffers, offset)),
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
    read: impl FnOnce(&Descriptor, &mut [IoSliceMut<'_>]) -> Result<usize>,
) -> Result {
    memory.check(nread, 4)?;
    let list = memory.iovecs(iovs, iovs_len)?;
    let descriptor = ctx.descriptor(fd)?;
    let count = read_allowed(ctx, memory, list, |buffers| read(&descriptor, buffers))?;
    memory.write_u32(nread, count.try_into().map_err(|_| Errno::Overflow)?)?;
    Ok(())
}

/// Lets `read` fill the buffers, as far as the guest may read as much.
///
/// # Errors
/// Those of `read`; [`Errno::Io`] where the guest has read all that it may, and there is more.
pub(crate) fn read_allowed(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    mut list: Iovecs,
    read: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<usize>,
) -> Result<usize> {
    let Some(taken) = ctx.reading().take(&mut list) else {
        // That there is nothing more may be known.
        let count = read(&mut [IoSliceMut::new(&mut [0])])?;
        return if count == 0 { Ok(0) } else { Err(ctx.has_read_all().into()) };
    };
    let count = memory.scatter(&list, read)?;
    taken.moved(count);
    Ok(count)
}

/// Hands the buffers to `write`, as far as the guest may write as much.
///
/// # Errors
/// Those of `write`; [`Errno::Dquot`] where the guest has written all that it may.
pub(crate) fn write_allowed(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    mut list: Iovecs,
    write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize>,
) -> Result<usize> {
    let Some(taken) = ctx.writing().take(&mut list) else { return Err(ctx.has_written_all().into()) };
    let count = memory.gather(&list, write)?;
    if taken.is_cut {
        // A guest that does not look at the count is never told.
        ctx.has_written_all();
    }
    taken.moved(count);
    Ok(count)
}

/// Writes the buffers at the current position, or at the end of a file that appends, and the count to
/// `nwritten`.
pub fn fd_write(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nwritten: u32,
) -> Result {
    write(ctx, memory, (iovs, iovs_len), nwritten, fd, |descriptor, buffers| match descriptor {
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

/// Writes the buffers at `offset` and the count to `nwritten`; a file that appends is written at its end, as on
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
    write(ctx, memory, (iovs, iovs_len), nwritten, fd, |descriptor, buffers| match descriptor {
        Descriptor::File(file) => ctx.restart(|| file.write_at(buffers, offset)),
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
    write: impl FnOnce(&Descriptor, &[IoSlice<'_>]) -> Result<usize>,
) -> Result {
    memory.check(nwritten, 4)?;
    let list = memory.iovecs(iovs, iovs_len)?;
    let descriptor = ctx.descriptor(fd)?;
    let count = write_allowed(ctx, memory, list, |buffers| write(&descriptor, buffers))?;
    memory.write_u32(nwritten, count.try_into().map_err(|_| Errno::Overflow)?)?;
    Ok(())
}

/// For streams whose host descriptor must not be made non-blocking: asks first.
fn check_ready(descriptor: &Descriptor, flags: PollFlags) -> Result {
    let Some(fd) = descriptor.poll_fd() else { return Ok(()) };
    match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Err(Errno::Again.into()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Moves the position by `offset` from the start (`whence` 0), the position (1) or the end (2) and writes the new
/// one to `position`.
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
