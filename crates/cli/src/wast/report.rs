//! The result of a script.

use belljar::OutsideText;
use std::fmt;
use std::path::PathBuf;

/// A directive that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The script.
    pub file: PathBuf,
    /// The line of the directive, counted from 1.
    pub line: usize,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", OutsideText::new(&self.file), self.line, OutsideText::new(&self.message))
    }
}

/// The number of directives that passed, and the failed ones. Printed as `N passed, M failed`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Directives with the expected outcome.
    pub passed: usize,
    /// Directives with another outcome, or not run because an earlier one panicked.
    pub failed: usize,
    /// The failures with a message, in order.
    pub failures: Vec<Failure>,
}

impl Report {
    /// Adds the report of another script.
    pub fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures);
    }

    pub(crate) fn fail(&mut self, failure: Failure) {
        self.failed += 1;
        self.failures.push(failure);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}
