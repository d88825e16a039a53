//! Exit, yielding and randomness.

use crate::I32Exit;
use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::p1::{Errno, Error, Result};

/// Ends the guest: always [`Error::Exit`], with the code unchanged.
pub fn proc_exit(_ctx: &WasiCtx, _memory: &mut GuestMemory<'_>, code: u32) -> Result {
    Err(Error::Exit(I32Exit(code.cast_signed())))
}

/// Always [`Errno::Notsup`]: a guest has no signals.
pub fn proc_raise(_ctx: &WasiCtx, _memory: &mut GuestMemory<'_>, _signal: u32) -> Result {
    Err(Errno::Notsup.into())
}

/// Lets other threads of the host run.
pub fn sched_yield(_ctx: &WasiCtx, _memory: &mut GuestMemory<'_>) -> Result {
    std::thread::yield_now();
    Ok(())
}

/// Fills the buffer with random bytes.
pub fn random_get(ctx: &WasiCtx, memory: &mut GuestMemory<'_>, buf: u32, buf_len: u32) -> Result {
    let (wanted, most) = (u64::from(buf_len), ctx.max_random_size());
    if wanted > most {
        let text = format!(
            "the guest asked for {wanted} random bytes at once, and may ask for {most} \
             (WasiCtxBuilder::max_random_size)"
        );
        return Err(Error::Trap(text.into()));
    }
    memory.fill(buf, buf_len, |piece| {
        ctx.check_interrupt()?;
        ctx.restart(|| ctx.random().fill(piece))
    })
}
