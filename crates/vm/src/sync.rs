//! The atomics, locks and wait functions that model-checked protocols use.
//!
//! `tests/models` compiles the same source files with a module of this name that exports loom's types instead.

pub(crate) use crate::sys::{futex_wait, futex_wake, yield_now};
pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

/// Declares a constructor, which is `const` here. Loom's atomics cannot be created in constants.
macro_rules! constructor {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        $(#[$meta])*
        $vis const fn $($rest)*
    };
}
pub(crate) use constructor;
