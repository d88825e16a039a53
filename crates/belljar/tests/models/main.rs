//! Model checks of the pool of sandboxes (`sandbox/stacks.rs`), in all interleavings that the memory model allows.
//!
//! The file is compiled here a second time, against loom's atomics and locks ([`sync`]), so the code that is checked is
//! the code that runs. Threads wait without a timeout, so that loom reports a thread that is never woken as a deadlock.

// The models use only a part of the file.
#![allow(dead_code)]

/// Replaces `crate::sync` in the checked file, with loom's types.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering, fence};
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
}

mod sandbox;
