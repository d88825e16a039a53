//! Atomics, locks and waiting of the protocols between threads that are model-checked.
//!
//! `tests/models` compiles the same source files against the checker's types, which it puts in place of this module.

pub(crate) use crate::sys::{futex_wait, futex_wake, yield_now};
pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

/// A constructor that is `const` here; the checker's atomics cannot be made in constants.
macro_rules! constructor {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        $(#[$meta])*
        $vis const fn $($rest)*
    };
}
pub(crate) use constructor;
