//! Creation of sandbox instances: the first one runs the module's initialization, further ones adopt its checkpoint.

use super::sandbox_instance::SandboxInstance;
use crate::definition::Definition;
use crate::instantiate::InstancePre;
use crate::{Limits, Result, Store};
use belljar_core::Context;
use belljar_vm::Checkpoint;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) type MakeData<T> = Arc<dyn Fn() -> Result<T> + Send + Sync>;
pub(super) type Prepare<T> = Arc<dyn Fn(&mut Store<T>) -> Result<()> + Send + Sync>;

/// Creates the instances of a template.
pub(super) struct InstanceFactory<T: 'static> {
    pub(super) pre: InstancePre<T>,
    pub(super) make_data: MakeData<T>,
    pub(super) prepare: Option<Prepare<T>>,
    pub(super) init: Option<Box<str>>,
    pub(super) limits: Limits,
    pub(super) verify: bool,
    origin: Mutex<Origin>,
}

/// Where the initial state of instances comes from.
#[derive(Clone)]
enum Origin {
    /// No instance has been created yet.
    Unknown,
    /// Instances adopt this checkpoint.
    Shared(Arc<Checkpoint>),
    /// Each instance must run its own initialization, because it adds entities with addresses to its store.
    Own,
}

/// A factory with the same settings, which has not created an instance yet.
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

    /// Creates the host's state for a call or session.
    pub(super) fn data(&self) -> Result<T> {
        // This may run while a panic of the host is unwinding.
        let made = catch_unwind(AssertUnwindSafe(|| (self.make_data)()));
        let made = made.unwrap_or_else(|_| Err(belljar_core::format_err!("the closure panicked")));
        made.context("could not create the host's state")
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

    /// Creates a reset instance.
    pub(super) fn instance(&self) -> Result<Box<SandboxInstance<T>>> {
        let is_of_a_store = |item: &Definition| matches!(item, Definition::Extern(_));
        belljar_core::ensure!(
            !self.pre.items.iter().any(is_of_a_store),
            "the Linker defines an item of a store: a sandbox has its own store, and accepts only host functions"
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

    /// Creates an instance and runs its initialization.
    fn run(&self) -> Result<Box<SandboxInstance<T>>> {
        let mut store = self.store(true)?;
        let instance = self.pre.instantiate(&mut store)?;
        if let Some(init) = &self.init {
            instance.get_typed_func::<(), ()>(&mut store, init)?.call(&mut store, ())?;
        }
        let start = Arc::new(store.checkpoint()?);
        // The first session starts like all others: in a store that was reset, which rejects handles from before the
        // reset, and with data that no earlier run used.
        store.rewind(&start)?;
        store.replace_data(None);
        if !belljar_vm::tells_written_pages() {
            self.engine().warn(String::from(
                "the kernel does not report which pages were written (PAGEMAP_SCAN, Linux 6.7): sandboxes release all their \
                 memory after each call, which takes longer",
            ));
        }
        Ok(SandboxInstance::new(store, start, instance.number()))
    }

    /// Creates an instance with the state of a checkpoint; `None` if the store is too different.
    fn copy(&self, start: &Arc<Checkpoint>) -> Result<Option<Box<SandboxInstance<T>>>> {
        let mut store = self.store(self.prepare.is_some())?;
        let instance = self.pre.link_only(&mut store, start)?;
        let is_like = store.adopt(start)?;
        store.replace_data(None);
        Ok(is_like.then(|| SandboxInstance::new(store, start.clone(), instance.number())))
    }
}
