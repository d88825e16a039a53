//! A store that runs one session after another, and the checkpoint that it returns to in between.

use crate::{Instance, Result, Store, TypedFunc, WasmParams, WasmResults};
use belljar_core::Context;
use belljar_vm::Checkpoint;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A store with an instance of the sandbox's module, and the checkpoint that every session starts from.
///
/// While it is idle its store has no embedder data: [`SandboxInstance::begin`] sets the data of the session, and
/// [`SandboxInstance::reset`] drops it. Aligned so that two threads never write to the same cache line.
#[repr(align(128))]
pub(super) struct SandboxInstance<T: 'static> {
    pub(super) store: Store<T>,
    pub(super) start: Arc<Checkpoint>,
    /// The number of the module's instance in the store.
    pub(super) instance: u32,
    /// Exports that were called before. Looking one up and comparing its type takes as long as a small call.
    exports: Vec<CachedExport>,
}

struct CachedExport {
    name: Box<str>,
    /// A [`TypedFunc`].
    func: Box<dyn Any + Send + Sync>,
}

/// How many exports are cached.
const MOST_EXPORTS: usize = 8;

impl<T: 'static> SandboxInstance<T> {
    pub(super) fn new(store: Store<T>, start: Arc<Checkpoint>, instance: u32) -> Box<Self> {
        Box::new(Self { store, start, instance, exports: Vec::new() })
    }

    /// Returns an export that the store had at its checkpoint.
    pub(super) fn func<P: WasmParams, R: WasmResults>(&mut self, export: &str) -> Result<TypedFunc<P, R>> {
        let same = |cached: &CachedExport| -> Option<TypedFunc<P, R>> {
            let func = cached.func.downcast_ref::<TypedFunc<P, R>>().filter(|_| *cached.name == *export);
            func.copied()?.since(&self.store, &self.start)
        };
        if let Some(func) = self.exports.iter().find_map(same) {
            return Ok(func);
        }
        belljar_core::ensure!(
            self.store.core().has_been_at(&self.start),
            "the session's store was replaced by another one: calls go to the sandbox's own"
        );
        let func = self.instance().get_typed_func(&mut self.store, export)?;
        if self.exports.len() < MOST_EXPORTS {
            self.exports.push(CachedExport { name: export.into(), func: Box::new(func) });
        }
        Ok(func)
    }

    pub(super) fn instance(&self) -> Instance {
        self.store.instance(self.instance)
    }

    /// Begins a session: limits of time and fuel, and epochs, count from here.
    pub(super) fn begin(&mut self, data: T) {
        self.store.replace_data(Some(data));
        self.store.restart_epochs(&self.start);
        self.store.begin_session();
    }

    /// Ends a session, however its last call ended, and returns the store to its checkpoint.
    pub(super) fn reset(&mut self, verify: bool) -> Result<()> {
        self.store.end_session();
        self.store.rewind(&self.start)?;
        let data = self.store.replace_data(None);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(data)));
        dropped.map_err(|_| belljar_core::format_err!("the destructor of the host's state panicked"))?;
        match verify {
            true => self.store.verify(&self.start).context("a bug: it differs from a fresh one"),
            false => Ok(()),
        }
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
