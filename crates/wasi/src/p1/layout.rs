//! The binary layout of records in the guest's memory, and where the two versions differ.

use crate::memory::{Fault, GuestMemory};
use crate::p1::{Errno, Result};
use crate::stat::{FileKind, FileStat};

/// Which of the two modules the guest imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// `wasi_snapshot_preview1`
    Preview1,
    /// `wasi_unstable`
    Unstable,
}

/// The longest path that functions accept: no host accepts longer ones.
const MAX_PATH: u32 = 4096;

/// Reads a path, which must be UTF-8.
pub(crate) fn read_path(memory: &GuestMemory<'_>, at: u32, len: u32) -> Result<String, Errno> {
    memory.check(at, len.into())?;
    if len > MAX_PATH {
        return Err(Errno::Nametoolong);
    }
    let mut bytes = vec![0; len as usize];
    memory.read_bytes(at, &mut bytes)?;
    let path = String::from_utf8(bytes).map_err(|_| Errno::Ilseq)?;
    // The host would stop reading at a zero byte, and see another path than the guest meant.
    if path.contains('\0') { Err(Errno::Inval) } else { Ok(path) }
}

/// Checks that only bits of `known` are set.
pub(crate) fn check_flags(flags: u32, known: u32) -> Result<u32, Errno> {
    if flags & !known == 0 { Ok(flags) } else { Err(Errno::Inval) }
}

/// Size of a `filestat` in bytes.
pub(crate) fn filestat_size(version: Version) -> u64 {
    match version {
        Version::Preview1 => 64,
        Version::Unstable => 56,
    }
}

/// Writes a `filestat`. In `wasi_unstable` the link count has 32 bits, and the later fields move up.
pub(crate) fn write_filestat(
    memory: &mut GuestMemory<'_>,
    at: u32,
    stat: &FileStat,
    version: Version,
) -> Result<(), Fault> {
    let mut bytes = [0; 64];
    bytes[0..8].copy_from_slice(&stat.device.to_le_bytes());
    bytes[8..16].copy_from_slice(&stat.inode.to_le_bytes());
    bytes[16] = stat.kind as u8;
    let rest = match version {
        Version::Preview1 => {
            bytes[24..32].copy_from_slice(&stat.links.to_le_bytes());
            32
        }
        Version::Unstable => {
            let links = u32::try_from(stat.links).unwrap_or(u32::MAX);
            bytes[20..24].copy_from_slice(&links.to_le_bytes());
            24
        }
    };
    for (i, value) in [stat.size, stat.accessed, stat.modified, stat.changed].into_iter().enumerate() {
        bytes[rest + i * 8..][..8].copy_from_slice(&value.to_le_bytes());
    }
    memory.write_bytes(at, &bytes[..filestat_size(version) as usize])
}

/// Writes an `fdstat`.
pub(crate) fn write_fdstat(
    memory: &mut GuestMemory<'_>,
    at: u32,
    kind: FileKind,
    flags: u16,
    (base, inheriting): (u64, u64),
) -> Result<(), Fault> {
    let mut bytes = [0; 24];
    bytes[0] = kind as u8;
    bytes[2..4].copy_from_slice(&flags.to_le_bytes());
    bytes[8..16].copy_from_slice(&base.to_le_bytes());
    bytes[16..24].copy_from_slice(&inheriting.to_le_bytes());
    memory.write_bytes(at, &bytes)
}
