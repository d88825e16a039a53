//! The program's own standard output and standard error: nothing gets to a terminal that it would obey, and a reader that goes
//! away ends the program, quietly.

use crate::exit_code::ExitCode;
use crate::failure::{Failure, OrFail};
use anyhow::Error;
use belljar::OutsideText;
use serde::Serialize;
use std::io::{self, Write};

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
    let text = serde_json::to_string_pretty(value).or_fail(ExitCode::Bug)?;
    print_commands(&format!("{}\n", OutsideText::new(&text).json()))
}

/// Writes what a terminal or shell is to obey, as it is: nothing in it may come from outside.
///
/// # Errors
///
/// As [`print`].
pub(crate) fn print_commands(text: &str) -> Result<(), Failure> {
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

/// Writes a line to standard error, escaped as [`print`] does. That it cannot be written is told nobody.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", OutsideText::new(text).lines());
}
