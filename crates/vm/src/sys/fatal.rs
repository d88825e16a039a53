//! Ends the process with a message that says why.

use std::fmt::{self, Write};

/// The maximum length of the message.
const LONGEST: usize = 640;

/// Text that is formatted without allocation. What does not fit is cut off.
struct Message {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LONGEST - self.length;
        let fits = text.as_bytes().get(..room.min(text.len())).unwrap_or_default();
        self.bytes[self.length..][..fits.len()].copy_from_slice(fits);
        self.length += fits.len();
        Ok(())
    }
}

/// Writes a message to standard error and ends the process by `SIGABRT`. Async-signal-safe if the arguments are numbers
/// and text.
pub(crate) fn end_process(why: fmt::Arguments<'_>) -> ! {
    let mut message = Message { bytes: [0; LONGEST], length: 0 };
    let _ = writeln!(message, "belljar: {why}");
    let mut rest = &message.bytes[..message.length];
    while !rest.is_empty() {
        // SAFETY: the bytes are ours, and the length is theirs.
        let written = unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) };
        match usize::try_from(written) {
            Ok(written) if written > 0 => rest = &rest[written..],
            _ => break,
        }
    }
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}
