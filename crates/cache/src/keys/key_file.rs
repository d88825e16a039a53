//! Reading files of keys.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// A key's text has some ninety bytes and a name; a file that has more is something else.
const MAX_TEXT_BYTES: u64 = 4096;

/// Opens a file to read. A pipe that somebody put there does not make this wait for a writer.
pub(super) fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = (flags | OFlags::CLOEXEC | OFlags::NONBLOCK).bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

/// Reads all of a file, but no more than `limit` bytes and one.
pub(super) fn read_up_to(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the text of a key, for a parser that refuses what is no text.
pub(super) fn read_text(file: File) -> io::Result<String> {
    let bytes = read_up_to(file, MAX_TEXT_BYTES)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
