//! The user's cache, enabled unless `BELLJAR_CACHE` disables it. Problems with it never prevent a run.

use crate::output::complain;
use belljar::{Cache, Engine};

/// Opens the user's cache, or reports why it cannot be used.
pub(crate) fn open() -> Option<Cache> {
    Cache::of_user().unwrap_or_else(|error| {
        complain(&format!("note: continuing without a cache: {error}"));
        None
    })
}

/// Reports problems with the cache since it was opened.
pub(crate) fn report_problems(engine: &Engine) {
    for problem in engine.problems() {
        complain(&format!("note: {problem}"));
    }
}
