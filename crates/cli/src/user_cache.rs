//! The user's cache, which is on unless `BELLJAR_CACHE` says otherwise. Whatever is wrong with it, programs run.

use crate::output::complain;
use belljar::{Cache, Engine};

/// The user's cache; where it cannot be used, that is said.
pub(crate) fn open() -> Option<Cache> {
    Cache::of_user().unwrap_or_else(|error| {
        complain(&format!("note: working without a cache: {error}"));
        None
    })
}

/// Says what went wrong with the cache meanwhile.
pub(crate) fn report_problems(engine: &Engine) {
    for problem in engine.problems() {
        complain(&format!("note: {problem}"));
    }
}
