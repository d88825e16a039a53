//! Arguments and environment variables.

use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::p1::{Errno, Result};

/// Writes the arguments' addresses to `argv` and the arguments, each terminated by a zero byte, to `argv_buf`.
pub fn args_get(ctx: &WasiCtx, memory: &mut GuestMemory<'_>, argv: u32, argv_buf: u32) -> Result {
    write_strings(memory, ctx.args(), argv, argv_buf)
}

/// Writes how many arguments there are and how many bytes they take.
pub fn args_sizes_get(ctx: &WasiCtx, memory: &mut GuestMemory<'_>, argc: u32, size: u32) -> Result {
    write_sizes(memory, ctx.args(), argc, size)
}

/// Writes the variables' addresses to `environ` and the variables as `NAME=VALUE`, each terminated by a zero byte,
/// to `environ_buf`.
pub fn environ_get(ctx: &WasiCtx, memory: &mut GuestMemory<'_>, environ: u32, environ_buf: u32) -> Result {
    write_strings(memory, ctx.env(), environ, environ_buf)
}

/// Writes how many environment variables there are and how many bytes they take.
pub fn environ_sizes_get(ctx: &WasiCtx, memory: &mut GuestMemory<'_>, count: u32, size: u32) -> Result {
    write_sizes(memory, ctx.env(), count, size)
}

fn write_strings(memory: &mut GuestMemory<'_>, strings: &[Vec<u8>], mut list: u32, mut buf: u32) -> Result {
    memory.check(list, strings.len() as u64 * 4)?;
    memory.check(buf, size_of_strings(strings) as u64)?;
    for string in strings {
        memory.write_u32(list, buf)?;
        memory.write_bytes(buf, string)?;
        buf += string.len() as u32;
        memory.write_u8(buf, 0)?;
        // This can exceed 32 bits only after the very last string.
        (list, buf) = (list.wrapping_add(4), buf.wrapping_add(1));
    }
    Ok(())
}

fn size_of_strings(strings: &[Vec<u8>]) -> usize {
    strings.iter().map(|string| string.len() + 1).sum()
}

fn write_sizes(memory: &mut GuestMemory<'_>, strings: &[Vec<u8>], count: u32, size: u32) -> Result {
    let bytes = size_of_strings(strings);
    memory.write_u32(count, strings.len().try_into().map_err(|_| Errno::Overflow)?)?;
    memory.write_u32(size, bytes.try_into().map_err(|_| Errno::Overflow)?)?;
    Ok(())
}
