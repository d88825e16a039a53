//! Warnings: problems that do not keep guests from running.

use std::sync::{Mutex, PoisonError};

/// How many warnings are kept until the embedder reads them.
const KEPT: usize = 16;

/// Warnings in words. Duplicates are dropped.
#[derive(Debug, Default)]
pub(crate) struct Problems(Mutex<Vec<String>>);

impl Problems {
    /// Keeps a warning, unless it is a duplicate or the list is full.
    pub(crate) fn warn(&self, problem: String) {
        let mut problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.len() < KEPT && !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// Removes and returns all warnings.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
