//! Locks and atomics of the protocol between threads that is model-checked.
//!
//! `tests/models` compiles the same source file against the checker's types, which it puts in place of this module.

pub(crate) use std::sync::atomic::{AtomicUsize, Ordering, fence};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
