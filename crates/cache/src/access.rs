//! Who else can reach a file or directory, told from its metadata.
//!
//! Each function gives `Ok`, or the middle of a sentence that says what is wrong; the caller adds the path
//! and what to do. POSIX access lists are not read: the group bits of a file that has one show the most that
//! it grants to anybody.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// Bits of a mode that let group and others write.
const OTHERS_WRITE: u32 = 0o022;
/// Bits of a mode that let group and others do anything.
const OTHERS_ANY: u32 = 0o077;
/// In a directory with this bit only its owner, a file's owner and root remove or rename the file.
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;

/// The user that this process makes files as.
fn our_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether it is a regular file of this user.
pub(crate) fn is_own_file(found: &Metadata) -> bool {
    found.is_file() && found.uid() == our_uid()
}

/// It belongs to this user or root.
pub(crate) fn require_own_or_root(found: &Metadata) -> Result<(), String> {
    if found.uid() == ROOT { Ok(()) } else { require_own(found) }
}

/// Neither group nor others can replace what is in the directory and does not belong to them.
pub(crate) fn require_not_movable_by_others(found: &Metadata) -> Result<(), String> {
    if found.mode() & STICKY != 0 { Ok(()) } else { require_not_writable_by_others(found) }
}

/// Neither group nor others can read or write the file.
pub(crate) fn require_not_readable_by_others(found: &Metadata) -> Result<(), String> {
    require_mode_without(found, OTHERS_ANY, "read or change")
}

/// Nobody but this user and root can write the file.
pub(crate) fn require_writable_by_owner_only(found: &Metadata) -> Result<(), String> {
    require_regular(found)?;
    require_own_or_root(found)?;
    require_not_writable_by_others(found)
}

/// Neither group nor others can change the file, or what is in the directory.
pub(crate) fn require_not_writable_by_others(found: &Metadata) -> Result<(), String> {
    require_mode_without(found, OTHERS_WRITE, "change")
}

/// It is a regular file.
pub(crate) fn require_regular(found: &Metadata) -> Result<(), String> {
    check_regular(found).map_err(|what| format!("expected a regular file, found {what}"))
}

/// It is a regular file; if not, what it is.
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

/// It belongs to this user.
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
