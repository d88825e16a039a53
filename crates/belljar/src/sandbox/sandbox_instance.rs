//! A store that runs one session after another, and the checkpoint that it returns to in between.

use super::guest::Guest;
use crate::{Result, Store};
use belljar_core::Context;
use belljar_vm::Checkpoint;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A store with an instance of the sandbox's module, and the checkpoint that every session starts from.
///
/// While it is idle its store has no embedder data: [`SandboxInstance::begin`] sets the data of the session, and
/// [`SandboxInstance::reset`] drops it. Aligned so that two threads never write to the same cache line.
#[repr(align(128))]
pub(crate) struct SandboxInstance<T: 'static, G: Guest<T>> {
    pub(crate) store: Store<T>,
    pub(crate) start: Arc<Start<G::State>>,
    /// The number of the guest's instance in the store.
    pub(crate) instance: u32,
    pub(super) kept: G::Kept,
}

/// What every session starts from.
pub(crate) struct Start<S> {
    pub(crate) checkpoint: Checkpoint,
    /// What the checkpoint does not know of the guest.
    pub(super) state: S,
}

impl<T: 'static, G: Guest<T>> SandboxInstance<T, G> {
    pub(super) fn new(store: Store<T>, start: Arc<Start<G::State>>, instance: u32) -> Box<Self> {
        Box::new(Self { store, start, instance, kept: G::Kept::default() })
    }

    /// Checks that the store is the sandbox's own.
    ///
    /// # Errors
    ///
    /// Returns an error if the embedder has replaced it.
    pub(crate) fn check_store(&self) -> Result<()> {
        belljar_core::ensure!(
            self.store.core().has_been_at(&self.start.checkpoint),
            "the session's store was replaced by another one: calls go to the sandbox's own"
        );
        Ok(())
    }

    /// Begins a session: limits of time and fuel, and epochs, count from here.
    pub(super) fn begin(&mut self, data: T) {
        self.store.replace_data(Some(data));
        self.store.restart_epochs(&self.start.checkpoint);
        self.store.begin_session();
    }

    /// Ends a session, however its last call ended, and returns the store to its checkpoint.
    pub(super) fn reset(&mut self, verify: bool) -> Result<()> {
        self.store.end_session();
        self.rewind()?;
        let data = self.store.replace_data(None);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(data)));
        dropped.map_err(|_| belljar_core::format_err!("the destructor of the host's state panicked"))?;
        match verify {
            true => self.verify().context("a bug: it differs from a fresh one"),
            false => Ok(()),
        }
    }

    /// Returns the store to its checkpoint.
    pub(super) fn rewind(&mut self) -> Result<()> {
        let before = self.store.core().id();
        self.store.rewind(&self.start.checkpoint)?;
        G::restore(&mut self.store, before, &self.start.state, &self.start.checkpoint)
    }

    fn verify(&self) -> Result<()> {
        self.store.verify(&self.start.checkpoint)?;
        belljar_core::ensure!(G::has_state(&self.store, &self.start.state), "the state of its components");
        Ok(())
    }
}

/// A sandbox could not be reset and was discarded.
///
/// It is a context of the [`Error`](crate::Error) of the sandbox's last call. If that call returned, the warning is in
/// [`Engine::problems`](crate::Engine::problems) alone.
#[derive(Clone, Debug)]
pub struct SandboxDiscarded {
    why: String,
}

impl SandboxDiscarded {
    pub(super) fn new(why: &crate::Error) -> Self {
        Self { why: format!("{why:#}") }
    }
}

impl fmt::Display for SandboxDiscarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a sandbox could not be reset and was discarded: {}", self.why)
    }
}

impl std::error::Error for SandboxDiscarded {}
