//! Reading files of keys.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// The largest key file. The text of a key takes some ninety bytes and a name; a larger file is something else.
const MAX_TEXT_BYTES: u64 = 4096;

/// Opens a file for reading, without waiting for a writer if the file is a pipe.
pub(super) fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = (flags | OFlags::CLOEXEC | OFlags::NONBLOCK).bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

/// Reads a whole file, but no more than `limit + 1` bytes.
pub(super) fn read_up_to(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the text of a key. Invalid UTF-8 is replaced, so that the parser rejects it.
pub(super) fn read_text(file: File) -> io::Result<String> {
    let bytes = read_up_to(file, MAX_TEXT_BYTES)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
