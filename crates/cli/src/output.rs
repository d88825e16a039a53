//! The program's own standard output: a reader that goes away ends the program, quietly.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use anyhow::Error;
use std::io::{self, Write};

/// Writes a text to standard output.
///
/// # Errors
///
/// With the code for a broken pipe, or for other failures of writing.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
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

/// Writes a line to standard error. That it cannot be written is told nobody.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
