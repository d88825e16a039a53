//! Calls of libraries that panic where they should return an error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether a panic of this thread is expected, and not to be reported.
pub(crate) fn is_contained() -> bool {
    CONTAINED.get()
}

/// Calls a function. Returns `None` if it panics. What it changes must not be used afterwards.
pub(crate) fn contained<T>(call: impl FnOnce() -> T) -> Option<T> {
    let before = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    CONTAINED.set(before);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_result() {
        assert_eq!(contained(|| u8::from(is_contained())), Some(1));
        assert_eq!(contained(|| assert!(!is_contained())), None);
        assert!(!is_contained());
    }
}
