//! Sockets that the embedder preopened.

use rustix::net::Shutdown;

use crate::ctx::WasiCtx;
use crate::descriptor::Descriptor;
use crate::fd_flags::FdFlags;
use crate::memory::GuestMemory;
use crate::p1::io::{read_within_quota, write_within_quota};
use crate::p1::layout::check_flags;
use crate::p1::{Errno, Result};
use crate::socket::Socket;
use crate::table::Origin;

const RECV_PEEK: u32 = 1;
const RECV_WAITALL: u32 = 2;
const RECV_DATA_TRUNCATED: u16 = 1;

const SHUT_RD: u32 = 1;
const SHUT_WR: u32 = 2;

fn socket(descriptor: &Descriptor) -> Result<&Socket, Errno> {
    match descriptor {
        Descriptor::Socket(socket) => Ok(socket),
        _ => Err(Errno::Notsock),
    }
}

/// Accepts a connection and writes its new descriptor number. Only the flag `NONBLOCK` is supported.
pub fn sock_accept(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
    accepted: u32,
) -> Result {
    memory.check(accepted, 4)?;
    let nonblock = check_flags(flags, FdFlags::NONBLOCK.bits().into())? != 0;
    let descriptor = ctx.descriptor(fd)?;
    let listener = socket(&descriptor)?;
    ctx.check_room()?;
    let new = ctx.restart(|| listener.accept(nonblock))?;
    memory.write_u32(accepted, ctx.insert(Descriptor::Socket(new), Origin::Accepted)?)?;
    Ok(())
}

/// Receives into the buffers; writes the count to `nread` and whether data was truncated to `roflags`.
#[allow(clippy::too_many_arguments)] // WASI's own
pub fn sock_recv(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    flags: u32,
    nread: u32,
    roflags: u32,
) -> Result {
    memory.check(nread, 4)?;
    memory.check(roflags, 2)?;
    let flags = check_flags(flags, RECV_PEEK | RECV_WAITALL)?;
    let list = memory.iovecs(iovs, iovs_len, || ctx.check_interrupt())?;
    let descriptor = ctx.descriptor(fd)?;
    let socket = socket(&descriptor)?;
    let mut cut = false;
    let count = read_within_quota(ctx, memory, list, false, |buffers, _| {
        let received =
            ctx.restart(|| socket.receive(buffers, flags & RECV_PEEK != 0, flags & RECV_WAITALL != 0));
        received.map(|(count, truncated)| {
            cut = truncated;
            count
        })
    })?;
    memory.write_u32(nread, count.try_into().map_err(|_| Errno::Overflow)?)?;
    memory.write_u16(roflags, if cut { RECV_DATA_TRUNCATED } else { 0 })?;
    Ok(())
}

/// Sends the buffers and writes the count. No flags are defined yet.
pub fn sock_send(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    flags: u32,
    nwritten: u32,
) -> Result {
    memory.check(nwritten, 4)?;
    check_flags(flags, 0)?;
    let list = memory.iovecs(iovs, iovs_len, || ctx.check_interrupt())?;
    let descriptor = ctx.descriptor(fd)?;
    let socket = socket(&descriptor)?;
    let count = write_within_quota(ctx, memory, list, |buffers, _| ctx.restart(|| socket.send(buffers)))?;
    memory.write_u32(nwritten, count.try_into().map_err(|_| Errno::Overflow)?)?;
    Ok(())
}

/// Shuts down receiving (bit 0 of `how`), sending (bit 1) or both.
pub fn sock_shutdown(ctx: &WasiCtx, _memory: &mut GuestMemory<'_>, fd: u32, how: u32) -> Result {
    let how = match check_flags(how, SHUT_RD | SHUT_WR)? {
        SHUT_RD => Shutdown::Read,
        SHUT_WR => Shutdown::Write,
        0 => return Err(Errno::Inval.into()),
        _ => Shutdown::Both,
    };
    let descriptor = ctx.descriptor(fd)?;
    let socket = socket(&descriptor)?;
    ctx.restart(|| socket.shut(how))
}
