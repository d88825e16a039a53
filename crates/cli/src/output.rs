//! Standard output and standard error: nothing untrusted is printed unescaped, and a closed pipe ends the program
//! quietly.

use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use anstream::{AutoStream, ColorChoice};
use belljar::{Error, OutsideText};
use clap::builder::styling::{Style, Styles};
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

/// Writes a message to standard error, escaped as by [`print()`], in color if that is a terminal. Write errors are
/// ignored.
pub(crate) fn complain(text: &str) {
    let text = OutsideText::new(text).lines().to_string();
    let text = if is_colored() { paint(&text) } else { text };
    let line = format!("{text}\n");
    let _ = timed_write(|| io::stderr().lock().write_all(line.as_bytes()));
}

/// Returns whether messages are colored: on a terminal, unless `NO_COLOR` or `CLICOLOR_FORCE` say otherwise. Clap
/// decides in the same way.
fn is_colored() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// The words that a message, or its last line, can begin with, and their styles, which are those of clap.
fn labels() -> [(&'static str, Style); 3] {
    let styles = Styles::styled();
    [("error:", *styles.get_error()), ("note:", *styles.get_valid()), (HINT, *styles.get_valid())]
}

/// The word before a hint, which is the last line of a message.
const HINT: &str = "Hint:";

/// Colors the first word of a message, and that of a hint.
fn paint(text: &str) -> String {
    let styled = |line: &str| {
        let labels = labels();
        let label = labels.iter().find_map(|(label, style)| Some((label, style, line.strip_prefix(label)?)));
        label.map(|(label, style, rest)| format!("{style}{label}{style:#}{rest}"))
    };
    let hint = text.rfind(&format!("\n{HINT}")).map_or(text.len(), |at| at + 1);
    let (message, hint) = text.split_at(hint);
    [message, hint].map(|part| styled(part).unwrap_or_else(|| part.into())).concat()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_before_messages_are_colored() {
        let red = |word: &str| format!("\u{1b}[1m\u{1b}[31m{word}\u{1b}[0m");
        let green = |word: &str| format!("\u{1b}[32m{word}\u{1b}[0m");
        assert_eq!(paint("error: a\nnote: b"), format!("{} a\nnote: b", red("error:")));
        assert_eq!(paint("note: error: a"), format!("{} error: a", green("note:")));
        assert_eq!(paint("error: a\nHint: b."), format!("{} a\n{} b.", red("error:"), green("Hint:")));
        assert_eq!(paint("an error: a"), "an error: a");
    }
}
