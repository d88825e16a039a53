//! Standard output and standard error: nothing untrusted is printed unescaped, and a closed pipe ends the program
//! quietly.

use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use anyhow::Error;
use belljar::OutsideText;
use serde::Serialize;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// Writes a text to standard output. Names in it are already escaped; this escapes, again, everything but line ends.
///
/// # Errors
///
/// Returns a failure with the code for a broken pipe, or for other write errors.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_commands(&OutsideText::new(text).lines().to_cow())
}

/// Writes a value to standard output as JSON, with a final line end.
///
/// # Errors
///
/// Returns the errors of [`print()`].
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).with_exit_code(ExitCode::Bug)?;
    print_commands(&format!("{}\n", OutsideText::new(&text).json()))
}

/// Writes text for a terminal or shell unescaped. It must not contain anything untrusted.
///
/// # Errors
///
/// Returns the errors of [`print()`].
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

/// Writes a line to standard error, escaped as by [`print()`]. Write errors are ignored.
pub(crate) fn complain(text: &str) {
    let line = format!("{}\n", OutsideText::new(text).lines());
    let _ = timed_write(|| io::stderr().lock().write_all(line.as_bytes()));
}

/// The threads that are writing, with the times when they started.
static WRITERS: Mutex<Vec<(ThreadId, Instant)>> = Mutex::new(Vec::new());

/// Performs a write that may block until a reader reads; [`longest_blocked_write`] measures how long it has been going
/// on.
pub(crate) fn timed_write<R>(write: impl FnOnce() -> R) -> R {
    let writers = || WRITERS.lock().unwrap_or_else(PoisonError::into_inner);
    let this = thread::current().id();
    writers().push((this, Instant::now()));
    let written = write();
    writers().retain(|(thread, _)| *thread != this);
    written
}

/// Returns how long the oldest of the current writes has been going on. If it is long, the reader may not be reading.
pub(crate) fn longest_blocked_write() -> Duration {
    let writers = WRITERS.lock().unwrap_or_else(PoisonError::into_inner);
    writers.iter().map(|(_, since)| since.elapsed()).max().unwrap_or_default()
}
