//! The program's own standard output and standard error: nothing gets to a terminal that it would obey, and a reader that goes
//! away ends the program, quietly.

use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use anyhow::Error;
use belljar::OutsideText;
use serde::Serialize;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// Writes a text to standard output. Its line ends are ours; names within it have been escaped already, and what was forgotten
/// is escaped here.
///
/// # Errors
///
/// With the code for a broken pipe, or for other failures of writing.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_commands(&OutsideText::new(text).lines().to_cow())
}

/// Writes JSON to standard output, a line for each value.
///
/// # Errors
///
/// As [`print`].
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).with_exit_code(ExitCode::Bug)?;
    print_commands(&format!("{}\n", OutsideText::new(&text).json()))
}

/// Writes what a terminal or shell is to obey, as it is: nothing in it may come from outside.
///
/// # Errors
///
/// As [`print`].
pub(crate) fn print_commands(text: &str) -> Result<(), Failure> {
    let written = timed_write(|| {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    });
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Failure::new(ExitCode::BrokenPipe, error))
        }
        Err(error) => {
            let error = Error::new(error).context("could not write to standard output");
            Err(Failure::new(ExitCode::Unwritable, error))
        }
    }
}

/// Writes a line to standard error, escaped as [`print`] does. That it cannot be written is told nobody.
pub(crate) fn complain(text: &str) {
    let line = format!("{}\n", OutsideText::new(text).lines());
    let _ = timed_write(|| io::stderr().lock().write_all(line.as_bytes()));
}

/// The threads that are writing, and since when.
static WRITERS: Mutex<Vec<(ThreadId, Instant)>> = Mutex::new(Vec::new());

/// Does what takes as long as somebody takes to read it. [`longest_blocked_write`] tells how long that is.
pub(crate) fn timed_write<R>(write: impl FnOnce() -> R) -> R {
    let writers = || WRITERS.lock().unwrap_or_else(PoisonError::into_inner);
    let this = thread::current().id();
    writers().push((this, Instant::now()));
    let written = write();
    writers().retain(|(thread, _)| *thread != this);
    written
}

/// For how long the write has been going on that has taken longest: nobody may be reading.
pub(crate) fn longest_blocked_write() -> Duration {
    let writers = WRITERS.lock().unwrap_or_else(PoisonError::into_inner);
    writers.iter().map(|(_, since)| since.elapsed()).max().unwrap_or_default()
}
