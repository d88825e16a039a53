//! Atomics, locks and waiting of the protocols between threads that are model-checked.
//!
//! `tests/models` compiles the same source files against the checker's types, which it puts in place of this module.

pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering, fence};

/// Lets other threads go on. Async-signal-safe.
pub(crate) fn yield_now() {
    rustix::thread::sched_yield();
}

/// A constructor that is `const` here; the checker's atomics cannot be made in constants.
macro_rules! constructor {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        $(#[$meta])*
        $vis const fn $($rest)*
    };
}
pub(crate) use constructor;
