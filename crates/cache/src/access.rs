//! Checks, from a file's or directory's metadata, who else can access it.
//!
//! Each `require_` function returns `Ok`, or a clause that says what is wrong; the caller adds the path and the advice.
//! POSIX access lists are not read: the group bits of a file with an access list show the most that the list grants to
//! anyone.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// Mode bits that let the group and other users write.
const OTHERS_WRITE: u32 = 0o022;
/// Mode bits that grant the group and other users any access.
const OTHERS_ANY: u32 = 0o077;
/// The sticky bit: in such a directory only the directory's owner, the file's owner and root can remove or rename a
/// file.
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;

/// Returns the effective user id, which owns the files that this process creates.
fn our_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Returns whether the file is a regular file of this user.
pub(crate) fn is_own_file(found: &Metadata) -> bool {
    found.is_file() && found.uid() == our_uid()
}

/// Requires that the file belongs to this user or root.
pub(crate) fn require_own_or_root(found: &Metadata) -> Result<(), String> {
    if found.uid() == ROOT { Ok(()) } else { require_own(found) }
}

/// Requires that neither the group nor other users can replace entries of the directory that do not belong to them.
pub(crate) fn require_not_movable_by_others(found: &Metadata) -> Result<(), String> {
    if found.mode() & STICKY != 0 { Ok(()) } else { require_not_writable_by_others(found) }
}

/// Requires that neither the group nor other users can read or write the file.
pub(crate) fn require_not_readable_by_others(found: &Metadata) -> Result<(), String> {
    require_mode_without(found, OTHERS_ANY, "read or change")
}

/// Requires that only this user and root can write the file.
pub(crate) fn require_writable_by_owner_only(found: &Metadata) -> Result<(), String> {
    require_regular(found)?;
    require_own_or_root(found)?;
    require_not_writable_by_others(found)
}

/// Requires that neither the group nor other users can change the file, or the entries of the directory.
pub(crate) fn require_not_writable_by_others(found: &Metadata) -> Result<(), String> {
    require_mode_without(found, OTHERS_WRITE, "change")
}

/// Requires a regular file.
pub(crate) fn require_regular(found: &Metadata) -> Result<(), String> {
    check_regular(found).map_err(|what| format!("expected a regular file, found {what}"))
}

/// Returns `Ok` for a regular file, otherwise what the file is.
pub(crate) fn check_regular(found: &Metadata) -> Result<(), &'static str> {
    match found.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_dir() => Err("a directory"),
        kind if kind.is_symlink() => Err("a symbolic link"),
        kind if kind.is_fifo() => Err("a pipe"),
        kind if kind.is_socket() => Err("a socket"),
        _ => Err("a device"),
    }
}

/// Requires that the file belongs to this user.
pub(crate) fn require_own(found: &Metadata) -> Result<(), String> {
    let (theirs, ours) = (found.uid(), our_uid());
    if theirs == ours {
        return Ok(());
    }
    Err(format!("it belongs to user {theirs}, and this process runs as user {ours}"))
}

fn require_mode_without(found: &Metadata, bits: u32, verb: &str) -> Result<(), String> {
    let mode = found.mode() & 0o7777;
    if mode & bits == 0 {
        return Ok(());
    }
    Err(format!("other users can {verb} it (mode {mode:04o})"))
}
