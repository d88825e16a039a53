//! Functions that take a path, relative to an open directory.

use crate::ctx::WasiCtx;
use crate::descriptor::Descriptor;
use crate::dir::{Dir, OpenHow, Opened};
use crate::fd_flags::FdFlags;
use crate::memory::GuestMemory;
use crate::p1::fd::new_times;
use crate::p1::layout::{self, Version, check_flags, read_path};
use crate::p1::rights::Rights;
use crate::p1::{Errno, Result};

/// Bit of `lookupflags`: follow a symbolic link at the end of the path.
const SYMLINK_FOLLOW: u32 = 1;

const O_CREAT: u32 = 1;
const O_DIRECTORY: u32 = 2;
const O_EXCL: u32 = 4;
const O_TRUNC: u32 = 8;

fn follow(flags: u32) -> Result<bool, Errno> {
    Ok(check_flags(flags, SYMLINK_FOLLOW)? != 0)
}

/// Returns the directory of a descriptor, or an error if it is something else.
fn directory(descriptor: &Descriptor) -> Result<&Dir, Errno> {
    match descriptor {
        Descriptor::Dir(dir) => Ok(dir),
        _ => Err(Errno::Badf),
    }
}

/// Creates a directory.
pub fn path_create_directory(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result {
    let path = read_path(memory, path, path_len)?;
    let descriptor = ctx.descriptor(fd)?;
    let dir = directory(&descriptor)?;
    ctx.restart(|| dir.create_dir(&path))
}

/// Writes the attributes of the file that the path refers to.
pub fn path_filestat_get(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    stat: u32,
) -> Result {
    filestat_get(ctx, memory, fd, flags, (path, path_len), stat, Version::Preview1)
}

pub(crate) fn filestat_get(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
    (path, path_len): (u32, u32),
    at: u32,
    version: Version,
) -> Result {
    let follow = follow(flags)?;
    let path = read_path(memory, path, path_len)?;
    let descriptor = ctx.descriptor(fd)?;
    let dir = directory(&descriptor)?;
    let stat = ctx.restart(|| dir.stat_at(&path, follow))?;
    layout::write_filestat(memory, at, &stat, version)?;
    Ok(())
}

/// Sets the times of the file that the path refers to.
#[allow(clippy::too_many_arguments)] // WASI's own
pub fn path_filestat_set_times(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    accessed: u64,
    modified: u64,
    fst_flags: u32,
) -> Result {
    let follow = follow(flags)?;
    let (accessed, modified) = new_times(accessed, modified, fst_flags)?;
    let path = read_path(memory, path, path_len)?;
    let descriptor = ctx.descriptor(fd)?;
    let dir = directory(&descriptor)?;
    ctx.restart(|| dir.set_times_at(&path, follow, accessed, modified))
}

/// Creates a hard link. Symbolic links are never followed; requesting it is [`Errno::Inval`].
#[allow(clippy::too_many_arguments)] // WASI's own
pub fn path_link(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    old_fd: u32,
    old_flags: u32,
    old_path: u32,
    old_path_len: u32,
    new_fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Result {
    if follow(old_flags)? {
        return Err(Errno::Inval.into());
    }
    let old_path = read_path(memory, old_path, old_path_len)?;
    let new_path = read_path(memory, new_path, new_path_len)?;
    let (old, new) = (ctx.descriptor(old_fd)?, ctx.descriptor(new_fd)?);
    let (old_dir, new_dir) = (directory(&old)?, directory(&new)?);
    ctx.restart(|| old_dir.hard_link(&old_path, new_dir, &new_path))
}

/// Opens a file or directory and writes its new descriptor number.
///
/// Of the rights, only those to read and to write matter: they say how to open a file. Inheriting rights are ignored.
#[allow(clippy::too_many_arguments)] // WASI's own
pub fn path_open(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    dirflags: u32,
    path: u32,
    path_len: u32,
    oflags: u32,
    base: u64,
    _inheriting: u64,
    fdflags: u32,
    opened: u32,
) -> Result {
    memory.check(opened, 4)?;
    let oflags = check_flags(oflags, O_CREAT | O_DIRECTORY | O_EXCL | O_TRUNC)?;
    let rights = Rights::from_bits_truncate(base);
    let how = OpenHow {
        follow: follow(dirflags)?,
        create: oflags & O_CREAT != 0,
        exclusive: oflags & O_EXCL != 0,
        truncate: oflags & O_TRUNC != 0,
        directory: oflags & O_DIRECTORY != 0,
        read: rights.contains(Rights::FD_READ),
        write: rights.contains(Rights::FD_WRITE),
        flags: FdFlags::from_bits(fdflags.try_into().map_err(|_| Errno::Inval)?).ok_or(Errno::Inval)?,
    };
    let path = read_path(memory, path, path_len)?;
    let parent = ctx.slot(fd)?;
    let dir = match &*parent.descriptor {
        Descriptor::Dir(dir) => dir,
        Descriptor::File(_) => return Err(Errno::Notdir.into()),
        _ => return Err(Errno::Badf.into()),
    };
    // This check comes first, because opening may create or truncate the file.
    ctx.check_room()?;
    let new = match ctx.restart(|| dir.open(&path, how))? {
        Opened::Dir(dir) => Descriptor::Dir(dir),
        Opened::File(file) => Descriptor::File(file),
    };
    let new = ctx.insert(new, parent.origin.below(&path))?;
    memory.write_u32(opened, new)?;
    Ok(())
}

/// Writes the target of a link, truncated to the buffer, and the number of bytes to `used`.
#[allow(clippy::too_many_arguments)] // WASI's own
pub fn path_readlink(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
    buf: u32,
    buf_len: u32,
    used: u32,
) -> Result {
    let path = read_path(memory, path, path_len)?;
    let descriptor = ctx.descriptor(fd)?;
    let dir = directory(&descriptor)?;
    let mut target = ctx.restart(|| dir.read_link(&path))?;
    target.truncate(buf_len as usize);
    memory.write_bytes(buf, &target)?;
    memory.write_u32(used, target.len() as u32)?;
    Ok(())
}

/// Removes an empty directory.
pub fn path_remove_directory(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result {
    let path = read_path(memory, path, path_len)?;
    let descriptor = ctx.descriptor(fd)?;
    let dir = directory(&descriptor)?;
    ctx.restart(|| dir.remove_dir(&path))
}

/// Renames a file or directory, replacing an existing one of the new name.
#[allow(clippy::too_many_arguments)] // WASI's own
pub fn path_rename(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    old_path: u32,
    old_path_len: u32,
    new_fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Result {
    let old_path = read_path(memory, old_path, old_path_len)?;
    let new_path = read_path(memory, new_path, new_path_len)?;
    let (old, new) = (ctx.descriptor(fd)?, ctx.descriptor(new_fd)?);
    let (old_dir, new_dir) = (directory(&old)?, directory(&new)?);
    ctx.restart(|| old_dir.rename(&old_path, new_dir, &new_path))
}

/// Creates a symbolic link to `target`, which must be relative: an absolute one is [`Errno::Perm`].
pub fn path_symlink(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    target: u32,
    target_len: u32,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result {
    let target = read_path(memory, target, target_len)?;
    let path = read_path(memory, path, path_len)?;
    let descriptor = ctx.descriptor(fd)?;
    let dir = directory(&descriptor)?;
    ctx.restart(|| dir.symlink(&target, &path))
}

/// Removes a file or link.
pub fn path_unlink_file(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result {
    let path = read_path(memory, path, path_len)?;
    let descriptor = ctx.descriptor(fd)?;
    let dir = directory(&descriptor)?;
    ctx.restart(|| dir.remove_file(&path))
}
