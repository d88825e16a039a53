//! How a world comes to be: by running its beginning once, and by copying it from then on.

use super::sandbox_instance::SandboxInstance;
use crate::definition::Definition;
use crate::instantiate::InstancePre;
use crate::{Limits, Result, Store};
use anyhow::Context;
use belljar_vm::Checkpoint;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) type MakeData<T> = Arc<dyn Fn() -> Result<T> + Send + Sync>;
pub(super) type Prepare<T> = Arc<dyn Fn(&mut Store<T>) -> Result<()> + Send + Sync>;

/// How worlds are made.
pub(super) struct InstanceFactory<T: 'static> {
    pub(super) pre: InstancePre<T>,
    pub(super) make_data: MakeData<T>,
    pub(super) prepare: Option<Prepare<T>>,
    pub(super) init: Option<Box<str>>,
    pub(super) limits: Limits,
    pub(super) verify: bool,
    origin: Mutex<Origin>,
}

/// Where worlds begin.
#[derive(Clone)]
enum Origin {
    /// It is not known yet.
    Unknown,
    /// Where another began.
    Shared(Arc<Checkpoint>),
    /// Each must run its own beginning, as that adds things to its store that have addresses.
    Own,
}

/// The same, whose first world is still to be made.
impl<T: 'static> Clone for InstanceFactory<T> {
    fn clone(&self) -> Self {
        let Self { pre, make_data, prepare, init, limits, verify, origin: _ } = self;
        Self {
            pre: pre.clone(),
            make_data: make_data.clone(),
            prepare: prepare.clone(),
            init: init.clone(),
            limits: limits.clone(),
            verify: *verify,
            origin: Mutex::new(Origin::Unknown),
        }
    }
}

impl<T: 'static> InstanceFactory<T> {
    pub(super) fn new(pre: InstancePre<T>, make_data: MakeData<T>) -> Self {
        let (prepare, init, limits, verify) = (None, None, Limits::unlimited(), false);
        Self { pre, make_data, prepare, init, limits, verify, origin: Mutex::new(Origin::Unknown) }
    }

    pub(super) fn engine(&self) -> &crate::Engine {
        self.pre.module().engine()
    }

    /// The host's state for one call or session.
    pub(super) fn data(&self) -> Result<T> {
        // This may run while a panic of the host goes on.
        let made = catch_unwind(AssertUnwindSafe(|| (self.make_data)()));
        let made = made.unwrap_or_else(|_| Err(anyhow::anyhow!("the closure panicked")));
        made.context("the host's state could not be made")
    }

    /// Creates a store, with data if the embedder or the guest will use it before the first session.
    fn store(&self, with_data: bool) -> Result<Store<T>> {
        let data = with_data.then(|| self.data()).transpose()?;
        let mut store = Store::with_data(self.engine(), data)?;
        store.set_limits(self.limits.clone())?;
        if let Some(prepare) = &self.prepare {
            prepare(&mut store)?;
        }
        Ok(store)
    }

    /// A clean world.
    pub(super) fn instance(&self) -> Result<Box<SandboxInstance<T>>> {
        let is_of_a_store = |item: &Definition| matches!(item, Definition::Extern(_));
        anyhow::ensure!(
            !self.pre.items.iter().any(is_of_a_store),
            "a sandbox was linked with something of a store: it has a store of its own, and takes host functions only"
        );
        let origin = self.origin().clone();
        if let Origin::Shared(start) = &origin {
            if let Some(instance) = self.copy(start)? {
                return Ok(instance);
            }
            *self.origin() = Origin::Own;
        }
        let instance = self.run()?;
        let mut origin = self.origin();
        if let Origin::Unknown = *origin {
            *origin = Origin::Shared(instance.start.clone());
        }
        Ok(instance)
    }

    fn origin(&self) -> MutexGuard<'_, Origin> {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A world whose beginning has just been run.
    fn run(&self) -> Result<Box<SandboxInstance<T>>> {
        let mut store = self.store(true)?;
        let instance = self.pre.instantiate(&mut store)?;
        if let Some(init) = &self.init {
            instance.get_typed_func::<(), ()>(&mut store, init)?.call(&mut store, ())?;
        }
        let start = Arc::new(store.checkpoint()?);
        // The first session begins like all others: in a store that was reset, which refuses handles from before, and with data
        // that no other run has seen.
        store.rewind(&start)?;
        store.replace_data(None);
        if !belljar_vm::tells_written_pages() {
            self.engine().warn(String::from(
                "the kernel does not tell which pages were written (PAGEMAP_SCAN, Linux 6.7): sandboxes give all their memory back \
                 after each call, which takes longer",
            ));
        }
        Ok(SandboxInstance::new(store, start, instance.number()))
    }

    /// A world that begins where another did; `None` where that is not possible.
    fn copy(&self, start: &Arc<Checkpoint>) -> Result<Option<Box<SandboxInstance<T>>>> {
        let mut store = self.store(self.prepare.is_some())?;
        let instance = self.pre.link_only(&mut store, start)?;
        let is_like = store.adopt(start)?;
        store.replace_data(None);
        Ok(is_like.then(|| SandboxInstance::new(store, start.clone(), instance.number())))
    }
}
