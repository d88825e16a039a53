//! The functions of `wasi_unstable` that differ from those of `wasi_snapshot_preview1`.
//!
//! Programs built before 2020 import it. The order of `whence` and the layouts of `filestat` and of a clock
//! subscription differ; there is no `sock_accept`; everything else is the same.

use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::p1::layout::Version;
use crate::p1::{Result, fd, io, path, poll};

/// Like [`p1::fd_filestat_get`](crate::p1::fd_filestat_get), with a link count of 32 bits.
pub fn fd_filestat_get(ctx: &WasiCtx, memory: &mut GuestMemory<'_>, fd: u32, stat: u32) -> Result {
    fd::filestat_get(ctx, memory, fd, stat, Version::Unstable)
}

/// Like [`p1::fd_seek`](crate::p1::fd_seek), from the position (`whence` 0), the end (1) or the start (2).
pub fn fd_seek(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    offset: u64,
    whence: u32,
    position: u32,
) -> Result {
    io::seek(ctx, memory, fd, offset.cast_signed(), whence, position, Version::Unstable)
}

/// Like [`p1::path_filestat_get`](crate::p1::path_filestat_get), with a link count of 32 bits.
pub fn path_filestat_get(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    stat: u32,
) -> Result {
    path::filestat_get(ctx, memory, fd, flags, (path, path_len), stat, Version::Unstable)
}

/// Like [`p1::poll_oneoff`](crate::p1::poll_oneoff), with subscriptions of 56 bytes.
pub fn poll_oneoff(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    happened: u32,
) -> Result {
    poll::poll(ctx, memory, subscriptions, events, count, happened, Version::Unstable)
}
