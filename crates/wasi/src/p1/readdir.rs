//! Listing a directory.
//!
//! ```text
//! dirent:  0 next cookie u64 | 8 inode u64 | 16 name length u32 | 20 kind u8 | 24 name
//! ```
//!
//! A cookie is a position in the listing that was taken when the guest last read from cookie 0, so names that are
//! created or removed meanwhile do not shift entries.

use crate::ctx::WasiCtx;
use crate::descriptor::Descriptor;
use crate::memory::GuestMemory;
use crate::p1::{Errno, Result};

const HEADER: usize = 24;

/// Entries that are written between two checks whether the guest must end.
const LOOK: u64 = 4096;

/// Writes the directory's entries from `cookie` on, the last one truncated to the buffer, and the number of
/// bytes to `used`; fewer than `buf_len` means that there are no more.
pub fn fd_readdir(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    buf: u32,
    buf_len: u32,
    cookie: u64,
    used: u32,
) -> Result {
    memory.check(buf, buf_len.into())?;
    memory.check(used, 4)?;
    let Descriptor::Dir(dir) = &*ctx.descriptor(fd)? else { return Err(Errno::Badf.into()) };
    let entries = ctx.restart(|| dir.entries(cookie == 0, ctx.listings(), &|| ctx.must_end()))?;
    let start = usize::try_from(cookie).unwrap_or(usize::MAX).min(entries.len());
    let mut written = 0;
    for (entry, next) in entries[start..].iter().zip(start as u64 + 1..) {
        if next % LOOK == 0 {
            ctx.check_interrupt()?;
        }
        let mut header = [0; HEADER];
        header[0..8].copy_from_slice(&next.to_le_bytes());
        header[8..16].copy_from_slice(&entry.inode.to_le_bytes());
        header[16..20].copy_from_slice(&(entry.name.len() as u32).to_le_bytes());
        header[20] = entry.kind as u8;
        for part in [&header[..], &entry.name] {
            let len = part.len().min((buf_len - written) as usize);
            // The sum can exceed 32 bits only after the last byte, where nothing is left to write.
            memory.write_bytes(buf.wrapping_add(written), &part[..len])?;
            written += len as u32;
        }
        if written == buf_len {
            break;
        }
    }
    if written < buf_len {
        dir.forget_entries();
    }
    memory.write_u32(used, written)?;
    Ok(())
}
