//! What went wrong without keeping anything from running.

use std::sync::{Mutex, PoisonError};

/// How many problems are kept until somebody asks for them.
const KEPT: usize = 16;

/// Problems in words, each of them once.
#[derive(Debug, Default)]
pub(crate) struct Problems(Mutex<Vec<String>>);

impl Problems {
    /// Keeps one, unless it is known or there are many.
    pub(crate) fn note(&self, problem: String) {
        let mut problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.len() < KEPT && !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// Those that nobody was told of yet.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
