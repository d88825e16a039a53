//! The pool of sandboxes, in all interleavings that the memory model allows: `sandbox/stacks.rs`.
//!
//! The file is compiled here a second time, against loom's atomics and locks ([`sync`]): what is checked is what runs. Nobody who
//! waits has an end to that, so that loom finds whoever is never woken.

// The models use a part of the file.
#![allow(dead_code)]

/// What `crate::sync` is in the checked file: the checker's types.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering, fence};
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
}

mod sandbox;
