//! A world: a store, and where it goes back to.

use crate::{Instance, Result, Store};
use anyhow::Context;
use belljar_vm::Checkpoint;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A store, and where it goes back to.
pub(super) struct World<T: 'static> {
    pub(super) store: Store<T>,
    pub(super) start: Arc<Checkpoint>,
    /// The number of the module's instance.
    pub(super) instance: u32,
}

impl<T: 'static> World<T> {
    pub(super) fn instance(&self) -> Instance {
        self.store.instance(self.instance)
    }

    /// The one way back, however a call ended. `data`: the host's state from now on.
    pub(super) fn reset(&mut self, data: Result<T>, verify: bool) -> Result<()> {
        self.store.end_deadline();
        // Even if there is no such state: what the guest leaves behind is not to lie around.
        self.store.rewind(&self.start)?;
        let old = std::mem::replace(self.store.data_mut(), data?);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(old)));
        dropped.map_err(|_| anyhow::anyhow!("the destructor of the host's state panicked"))?;
        match verify {
            true => self.store.verify(&self.start).context("a bug: it is not what it was"),
            false => Ok(()),
        }
    }
}

/// The sandbox could not be made clean, and was discarded. In an [`Error`](crate::Error) of the call before, which the sandbox
/// ended with; of a call that returned, [`Engine::problems`](crate::Engine::problems) tells.
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
        write!(f, "a sandbox could not be made clean, and was discarded: {}", self.why)
    }
}

impl std::error::Error for SandboxDiscarded {}
