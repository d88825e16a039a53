//! Descriptors: their attributes, times, sizes and numbers.

use rustix::fs::Advice;

use crate::ctx::WasiCtx;
use crate::descriptor::Descriptor;
use crate::fd_flags::FdFlags;
use crate::memory::GuestMemory;
use crate::p1::layout::{self, Version, check_flags};
use crate::p1::rights::rights;
use crate::p1::{Errno, Result};
use crate::stat::{FileKind, FileStat, NewTime};

/// Tells the host how a range of a file will be used.
pub fn fd_advise(
    ctx: &WasiCtx,
    _memory: &mut GuestMemory<'_>,
    fd: u32,
    offset: u64,
    len: u64,
    advice: u32,
) -> Result {
    let advice = match advice {
        0 => Advice::Normal,
        1 => Advice::Sequential,
        2 => Advice::Random,
        3 => Advice::WillNeed,
        4 => Advice::DontNeed,
        5 => Advice::NoReuse,
        _ => return Err(Errno::Inval.into()),
    };
    let Descriptor::File(file) = &*ctx.descriptor(fd)? else { return Err(Errno::Badf.into()) };
    ctx.restart(|| file.advise(offset, len, advice))
}

/// Always [`Errno::Notsup`] for files: not every host can reserve space, and no current guest needs it.
pub fn fd_allocate(ctx: &WasiCtx, _memory: &mut GuestMemory<'_>, fd: u32, _offset: u64, _len: u64) -> Result {
    match &*ctx.descriptor(fd)? {
        Descriptor::File(_) => Err(Errno::Notsup.into()),
        _ => Err(Errno::Badf.into()),
    }
}

/// Closes a descriptor and frees its number.
pub fn fd_close(ctx: &WasiCtx, _memory: &mut GuestMemory<'_>, fd: u32) -> Result {
    let closed = ctx.table().remove(fd).ok_or(Errno::Badf)?;
    // Closing may block, so it happens here, after the table's lock is released.
    drop(closed);
    Ok(())
}

/// Writes a file's data to the disk.
pub fn fd_datasync(ctx: &WasiCtx, _memory: &mut GuestMemory<'_>, fd: u32) -> Result {
    let Descriptor::File(file) = &*ctx.descriptor(fd)? else { return Err(Errno::Badf.into()) };
    ctx.restart(|| file.sync_data())
}

/// Writes a file's data and attributes to the disk.
pub fn fd_sync(ctx: &WasiCtx, _memory: &mut GuestMemory<'_>, fd: u32) -> Result {
    let Descriptor::File(file) = &*ctx.descriptor(fd)? else { return Err(Errno::Badf.into()) };
    ctx.restart(|| file.sync())
}

/// Writes a descriptor's kind, flags and rights.
pub fn fd_fdstat_get(ctx: &WasiCtx, memory: &mut GuestMemory<'_>, fd: u32, stat: u32) -> Result {
    let descriptor = ctx.descriptor(fd)?;
    let (kind, flags) = match &*descriptor {
        Descriptor::Input(input) => (stream_kind(input.stream.is_terminal()), input.flags()),
        Descriptor::Output(output) => (stream_kind(output.stream.is_terminal()), output.flags()),
        Descriptor::File(file) => (file.kind, file.flags()),
        Descriptor::Dir(_) => (FileKind::Directory, FdFlags::empty()),
        Descriptor::Socket(socket) => (FileKind::SocketStream, socket.flags()?),
    };
    let (base, inheriting) = rights(&descriptor);
    layout::write_fdstat(memory, stat, kind, flags.bits(), (base.bits(), inheriting.bits()))?;
    Ok(())
}

fn stream_kind(terminal: bool) -> FileKind {
    if terminal { FileKind::CharacterDevice } else { FileKind::Unknown }
}

/// Sets the flags `APPEND` and `NONBLOCK`; the synchronising flags cannot be changed.
pub fn fd_fdstat_set_flags(ctx: &WasiCtx, _memory: &mut GuestMemory<'_>, fd: u32, flags: u32) -> Result {
    let flags = FdFlags::from_bits(flags.try_into().map_err(|_| Errno::Inval)?).ok_or(Errno::Inval)?;
    let descriptor = ctx.descriptor(fd)?;
    if matches!(&*descriptor, Descriptor::Dir(_)) {
        return Err(Errno::Badf.into());
    }
    if flags.intersects(FdFlags::DSYNC | FdFlags::SYNC | FdFlags::RSYNC) {
        return Err(Errno::Inval.into());
    }
    match &*descriptor {
        Descriptor::Input(input) => input.set_flags(flags),
        Descriptor::Output(output) => output.set_flags(flags),
        Descriptor::File(file) => file.set_flags(flags)?,
        Descriptor::Socket(socket) => socket.set_nonblocking(flags.contains(FdFlags::NONBLOCK))?,
        Descriptor::Dir(_) => {}
    }
    Ok(())
}

/// Always [`Errno::Notsup`] for files and directories: rights no longer restrict access.
pub fn fd_fdstat_set_rights(
    ctx: &WasiCtx,
    _memory: &mut GuestMemory<'_>,
    fd: u32,
    _base: u64,
    _inheriting: u64,
) -> Result {
    match &*ctx.descriptor(fd)? {
        Descriptor::File(_) | Descriptor::Dir(_) | Descriptor::Socket(_) => Err(Errno::Notsup.into()),
        Descriptor::Input(_) | Descriptor::Output(_) => Err(Errno::Badf.into()),
    }
}

/// Writes the attributes of an open file.
pub fn fd_filestat_get(ctx: &WasiCtx, memory: &mut GuestMemory<'_>, fd: u32, stat: u32) -> Result {
    filestat_get(ctx, memory, fd, stat, Version::Preview1)
}

pub(crate) fn filestat_get(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    at: u32,
    version: Version,
) -> Result {
    let stat = match &*ctx.descriptor(fd)? {
        Descriptor::Input(input) => FileStat::of_stream(stream_kind(input.stream.is_terminal())),
        Descriptor::Output(output) => FileStat::of_stream(stream_kind(output.stream.is_terminal())),
        Descriptor::Socket(_) => FileStat::of_stream(FileKind::SocketStream),
        Descriptor::File(file) => file.stat()?,
        Descriptor::Dir(dir) => dir.stat()?,
    };
    layout::write_filestat(memory, at, &stat, version)?;
    Ok(())
}

/// Truncates a file, or extends it with zeros.
pub fn fd_filestat_set_size(ctx: &WasiCtx, _memory: &mut GuestMemory<'_>, fd: u32, size: u64) -> Result {
    let Descriptor::File(file) = &*ctx.descriptor(fd)? else { return Err(Errno::Badf.into()) };
    ctx.restart(|| file.set_size(size))
}

/// Sets the times of an open file or directory.
pub fn fd_filestat_set_times(
    ctx: &WasiCtx,
    _memory: &mut GuestMemory<'_>,
    fd: u32,
    accessed: u64,
    modified: u64,
    flags: u32,
) -> Result {
    let (accessed, modified) = new_times(accessed, modified, flags)?;
    match &*ctx.descriptor(fd)? {
        Descriptor::File(file) => ctx.restart(|| file.set_times(accessed, modified)),
        Descriptor::Dir(dir) => ctx.restart(|| dir.set_times(accessed, modified)),
        _ => Err(Errno::Badf.into()),
    }
}

/// Decodes `fstflags` (bits: access time, access time now, modification time, modification time now).
pub(crate) fn new_times(accessed: u64, modified: u64, flags: u32) -> Result<(NewTime, NewTime), Errno> {
    let flags = check_flags(flags, 0b1111)?;
    let pick = |given: u64, flags: u32| match flags & 0b11 {
        0b00 => Ok(NewTime::Keep),
        0b01 => Ok(NewTime::At(given)),
        0b10 => Ok(NewTime::Now),
        _ => Err(Errno::Inval),
    };
    Ok((pick(accessed, flags)?, pick(modified, flags >> 2)?))
}

/// Moves a descriptor to another open number, and closes the descriptor that was there.
pub fn fd_renumber(ctx: &WasiCtx, _memory: &mut GuestMemory<'_>, from: u32, to: u32) -> Result {
    let closed = ctx.table().renumber(from, to).ok_or(Errno::Badf)?;
    drop(closed);
    Ok(())
}
