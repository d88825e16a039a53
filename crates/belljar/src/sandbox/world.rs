//! A world: a store, and where it goes back to.

use crate::{Instance, Result, Store, TypedFunc, WasmParams, WasmResults};
use anyhow::Context;
use belljar_vm::Checkpoint;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A store, and where it goes back to. On lines of its own: another thread is in the next one.
#[repr(align(128))]
pub(super) struct World<T: 'static> {
    pub(super) store: Store<T>,
    pub(super) start: Arc<Checkpoint>,
    /// The number of the module's instance.
    pub(super) instance: u32,
    /// Exports that were called: to look them up and to compare their types takes as long as a small call.
    known: Vec<Known>,
}

struct Known {
    export: Box<str>,
    /// A [`TypedFunc`].
    func: Box<dyn Any + Send + Sync>,
}

/// Exports that are remembered at most.
const MOST_KNOWN: usize = 8;

impl<T: 'static> World<T> {
    pub(super) fn new(store: Store<T>, start: Arc<Checkpoint>, instance: u32) -> Box<Self> {
        Box::new(Self { store, start, instance, known: Vec::new() })
    }

    /// An export, which the store had when it was made.
    pub(super) fn func<P: WasmParams, R: WasmResults>(&mut self, export: &str) -> Result<TypedFunc<P, R>> {
        let same = |known: &Known| -> Option<TypedFunc<P, R>> {
            let func = known.func.downcast_ref::<TypedFunc<P, R>>().filter(|_| *known.export == *export);
            func.copied()?.since(&self.store, &self.start)
        };
        if let Some(func) = self.known.iter().find_map(same) {
            return Ok(func);
        }
        anyhow::ensure!(
            self.store.core().has_been_at(&self.start),
            "the session's store was replaced by another one: calls go to the sandbox's own"
        );
        let func = self.instance().get_typed_func(&mut self.store, export)?;
        if self.known.len() < MOST_KNOWN {
            self.known.push(Known { export: export.into(), func: Box::new(func) });
        }
        Ok(func)
    }

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
