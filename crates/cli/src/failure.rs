//! Why the program ends without success, and how that is told.

use crate::exit_code::ExitCode;
use anyhow::Error;
use std::fmt;

/// An error with the exit code that stands for it.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: ExitCode,
    /// What to tell.
    pub error: Error,
}

impl Failure {
    /// An error of one kind.
    pub(crate) fn new(code: ExitCode, error: impl Into<Error>) -> Self {
        Self { code, error: error.into() }
    }

    /// The command line asks for something that cannot be.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(ExitCode::Usage, Error::msg(message.to_string()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(&self.error))
    }
}

/// An error and its causes as one text: `what: why: why`. Causes that the text so far says already are left
/// out; one of several lines (a syntax error with its picture) comes last in any case.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

/// Attaches an exit code to an error.
pub(crate) trait WithExitCode<T> {
    /// The value, or a failure with this code.
    fn with_exit_code(self, code: ExitCode) -> Result<T, Failure>;
}

impl<T, E: Into<Error>> WithExitCode<T> for Result<T, E> {
    fn with_exit_code(self, code: ExitCode) -> Result<T, Failure> {
        self.map_err(|e| Failure::new(code, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once_and_in_order() {
        let error = Error::msg("the disk is full").context("could not write a").context("the job failed");
        assert_eq!(chain(&error), "the job failed: could not write a: the disk is full");
        let error = Error::msg("full").context("the disk is full");
        assert_eq!(chain(&error), "the disk is full");
    }
}
