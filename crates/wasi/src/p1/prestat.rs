//! How a guest learns of its preopened directories.

use crate::ctx::WasiCtx;
use crate::descriptor::Descriptor;
use crate::memory::GuestMemory;
use crate::p1::{Errno, Result};

/// Writes a `prestat`: the tag 0 (a directory) and the length of its name.
pub fn fd_prestat_get(ctx: &WasiCtx, memory: &mut GuestMemory<'_>, fd: u32, prestat: u32) -> Result {
    let descriptor = ctx.descriptor(fd)?;
    let Some(name) = preopen_name(&descriptor) else { return Err(Errno::Badf.into()) };
    let len = u32::try_from(name.len()).map_err(|_| Errno::Overflow)?;
    memory.write_u64(prestat, u64::from(len) << 32)?;
    Ok(())
}

/// Writes the name of a preopened directory, which must fit into `path_len` bytes.
pub fn fd_prestat_dir_name(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result {
    let descriptor = ctx.descriptor(fd)?;
    let Some(name) = preopen_name(&descriptor) else { return Err(Errno::Notdir.into()) };
    if name.len() > path_len as usize {
        return Err(Errno::Nametoolong.into());
    }
    memory.write_bytes(path, name.as_bytes())?;
    Ok(())
}

fn preopen_name(descriptor: &Descriptor) -> Option<&str> {
    match descriptor {
        Descriptor::Dir(dir) => dir.preopen.as_deref(),
        _ => None,
    }
}
