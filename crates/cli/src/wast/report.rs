//! What came of a script.

use belljar::OutsideText;
use std::fmt;
use std::path::PathBuf;

/// A directive that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The script.
    pub file: PathBuf,
    /// Line of the directive, from 1.
    pub line: usize,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", OutsideText::new(&self.file), self.line, OutsideText::new(&self.message))
    }
}

/// How many directives passed, and those that failed. Printed, it is the line `N passed, M failed`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Directives that did what they should.
    pub passed: usize,
    /// Directives that did not, or could not be run since an earlier one panicked.
    pub failed: usize,
    /// The failures that have something to say; in order.
    pub failures: Vec<Failure>,
}

impl Report {
    /// Adds another script's report.
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
