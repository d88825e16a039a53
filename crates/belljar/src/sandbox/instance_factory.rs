//! Creation of sandbox instances: the first one runs the guest's initialization, further ones adopt its checkpoint.

use super::guest::Guest;
use super::sandbox_instance::{SandboxInstance, Start};
use crate::{Limits, Result, Store};
use belljar_core::Context;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) type MakeData<T> = Arc<dyn Fn() -> Result<T> + Send + Sync>;
pub(super) type Prepare<T> = Arc<dyn Fn(&mut Store<T>) -> Result<()> + Send + Sync>;

/// Creates the instances of a template.
pub(super) struct InstanceFactory<T: 'static, G: Guest<T>> {
    pub(super) pre: G,
    pub(super) make_data: MakeData<T>,
    pub(super) prepare: Option<Prepare<T>>,
    pub(super) init: Option<Box<str>>,
    pub(super) limits: Limits,
    pub(super) verify: bool,
    pub(super) keeps_host_resources: bool,
    origin: Mutex<Origin<G::State>>,
}

/// Where the initial state of instances comes from.
enum Origin<S> {
    /// No instance has been created yet.
    Unknown,
    /// Instances adopt this checkpoint.
    Shared(Arc<Start<S>>),
    /// Each instance must run its own initialization, because it adds entities with addresses to its store.
    Own,
}

/// A factory with the same settings, which has not created an instance yet.
impl<T: 'static, G: Guest<T>> Clone for InstanceFactory<T, G> {
    fn clone(&self) -> Self {
        let Self { pre, make_data, prepare, init, limits, verify, keeps_host_resources, origin: _ } = self;
        Self {
            pre: pre.clone(),
            make_data: make_data.clone(),
            prepare: prepare.clone(),
            init: init.clone(),
            limits: limits.clone(),
            verify: *verify,
            keeps_host_resources: *keeps_host_resources,
            origin: Mutex::new(Origin::Unknown),
        }
    }
}

impl<T: 'static, G: Guest<T>> InstanceFactory<T, G> {
    pub(super) fn new(pre: G, make_data: MakeData<T>) -> Self {
        Self {
            pre,
            make_data,
            prepare: None,
            init: None,
            limits: Limits::unlimited(),
            verify: false,
            keeps_host_resources: false,
            origin: Mutex::new(Origin::Unknown),
        }
    }

    pub(super) fn engine(&self) -> &crate::Engine {
        self.pre.engine()
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
    pub(super) fn instance(&self) -> Result<Box<SandboxInstance<T, G>>> {
        self.pre.check()?;
        let shared = match &*self.origin() {
            Origin::Shared(start) => Some(start.clone()),
            Origin::Unknown | Origin::Own => None,
        };
        if let Some(start) = &shared {
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

    fn origin(&self) -> MutexGuard<'_, Origin<G::State>> {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates an instance and runs its initialization.
    fn run(&self) -> Result<Box<SandboxInstance<T, G>>> {
        let mut store = self.store(true)?;
        let instance = self.pre.instantiate(&mut store)?;
        if let Some(init) = &self.init {
            G::initialize(&mut store, instance, init)?;
        }
        let checkpoint = store.checkpoint()?;
        let state = G::state(&store, self.keeps_host_resources)?;
        let mut instance = SandboxInstance::new(store, Arc::new(Start { checkpoint, state }), instance);
        // The first session starts like all others: in a store that was reset, which rejects handles from before the
        // reset, and with data that no earlier run used.
        instance.rewind()?;
        instance.store.replace_data(None);
        if !belljar_vm::tells_written_pages() {
            self.engine().warn(String::from(
                "the kernel does not report which pages were written (PAGEMAP_SCAN, Linux 6.7): sandboxes release all their \
                 memory after each call, which takes longer",
            ));
        }
        Ok(instance)
    }

    /// Creates an instance with the state of a checkpoint; `None` if the store is too different.
    fn copy(&self, start: &Arc<Start<G::State>>) -> Result<Option<Box<SandboxInstance<T, G>>>> {
        let mut store = self.store(self.prepare.is_some())?;
        let instance = self.pre.link_only(&mut store, &start.checkpoint)?;
        let before = store.core().id();
        if !store.adopt(&start.checkpoint)? {
            return Ok(None);
        }
        G::restore(&mut store, before, &start.state, &start.checkpoint)?;
        store.replace_data(None);
        Ok(Some(SandboxInstance::new(store, start.clone(), instance)))
    }
}
