//! Errors of the program with their exit codes.

use crate::exit_code::ExitCode;
use belljar::Error;
use std::fmt;

/// An error and its exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: ExitCode,
    /// The error.
    pub error: Error,
}

impl Failure {
    /// Creates a failure.
    pub(crate) fn new(code: ExitCode, error: impl Into<Error>) -> Self {
        Self { code, error: error.into() }
    }

    /// Creates a failure for an invalid command line.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(ExitCode::Usage, Error::msg(message.to_string()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(&self.error))
    }
}

/// Joins an error and its causes to one text: `what: why: why`. Causes that the text already contains are left out.
/// Multi-line causes, such as syntax errors with source excerpts, are always last in a chain.
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

/// Adds an exit code to an error.
pub(crate) trait WithExitCode<T> {
    /// Converts an error to a failure with this code.
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
