//! The locks and atomics that the model-checked protocol uses.
//!
//! `tests/models` compiles the same source file with a module of this name that exports loom's types instead.

pub(crate) use std::sync::atomic::{AtomicUsize, Ordering, fence};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
