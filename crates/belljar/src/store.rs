//! Stores, which own everything that a group of instances can reach.

use crate::context::{
    AsContext, AsContextMut, StoreContext, StoreContextMut, fuel_is_counted, get_fuel, set_fuel,
};
use crate::engine::engine_of;
use crate::guest_ranges::GuestRanges;
use crate::store_extension;
use crate::{
    CallHook, Engine, Error, GcHeapOutOfMemory, KillHandle, KillReason, Limit, LimitGroup, Limits,
    ResourceUsage, Result,
};
use belljar_vm::{Limiter, StoreCore, StoreInner};
use std::fmt;

/// A group of instances with everything that they can reach, and the embedder's data of type `T`.
///
/// Handles ([`crate::Func`], [`crate::Memory`], …) are numbers that are valid only in the store that they came from;
/// any other store rejects them. Dropping the store drops everything in it.
pub struct Store<T: 'static> {
    pub(crate) inner: Box<StoreInner<T>>,
}

/// The decision of a store's epoch callback.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UpdateDeadline {
    /// The guest continues until the epoch has advanced by this many ticks.
    Continue(u64),
    /// The guest traps with [`crate::Trap::Interrupt`].
    Interrupt,
}

impl<T: 'static> Store<T> {
    /// Creates an empty store.
    ///
    /// # Panics
    ///
    /// Panics if the process has no address space left for the store; see [`Store::try_new`].
    pub fn new(engine: &Engine, data: T) -> Self {
        Self::try_new(engine, data).expect("address space for a store")
    }

    /// Creates an empty store.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has no address space left for the store.
    pub fn try_new(engine: &Engine, data: T) -> Result<Self> {
        Self::with_data(engine, Some(data))
    }

    /// Creates a store whose data may be set later: see [`Store::replace_data`].
    pub(crate) fn with_data(engine: &Engine, data: Option<T>) -> Result<Self> {
        let mut inner = StoreInner::new(engine.runtime(), data)?;
        inner.core_mut().set_embedder(Box::new(engine.clone()));
        if engine.config().host_write_check {
            GuestRanges::check_writes(inner.core_mut());
        }
        Ok(Self { inner })
    }

    /// Returns a handle with which other threads can kill the store's guest while it runs.
    pub fn kill_handle(&self) -> KillHandle {
        KillHandle::of(self.inner.core().monitor().clone())
    }

    /// Returns why the store's guest was killed, if it was. A killed store runs no more code.
    pub fn killed(&self) -> Option<&KillReason> {
        self.inner.core().killed()
    }

    #[doc(hidden)]
    pub fn checkpoint(&mut self) -> Result<belljar_vm::Checkpoint> {
        self.inner.erased().checkpoint()
    }

    #[doc(hidden)]
    pub fn rewind(&mut self, to: &belljar_vm::Checkpoint) -> Result<()> {
        self.inner.rewind(to)
    }

    pub(crate) fn restart_epochs(&mut self, of: &belljar_vm::Checkpoint) {
        self.inner.core_mut().restart_epochs(of);
    }

    /// Replaces the embedder's data and returns the previous data. A store without data must not be used.
    pub(crate) fn replace_data(&mut self, data: Option<T>) -> Option<T> {
        self.inner.replace_data(data)
    }

    pub(crate) fn core(&self) -> &StoreCore {
        self.inner.core()
    }

    /// Gives a store in which nothing has run the state of a checkpoint of another store. Returns `false` if the stores
    /// differ too much.
    pub(crate) fn adopt(&mut self, from: &belljar_vm::Checkpoint) -> Result<bool> {
        self.inner.core_mut().adopt(from)
    }

    pub(crate) fn verify(&self, was: &belljar_vm::Checkpoint) -> Result<()> {
        self.inner.core().verify(was)
    }

    /// Sets the name under which the store is shown in [`Stack::label`](crate::Stack::label) and by `belljar ps`. The
    /// default is the name of its first module. A label that is set during a sandbox session lasts until the session
    /// ends.
    pub fn set_label(&mut self, label: &str) {
        self.inner.core().monitor().set_label(Some(label.into()));
    }

    /// Returns the embedder's data.
    pub fn data(&self) -> &T {
        self.inner.data()
    }

    /// Returns the embedder's data.
    pub fn data_mut(&mut self) -> &mut T {
        self.inner.data_mut()
    }

    /// Drops the store and returns the embedder's data.
    pub fn into_data(self) -> T {
        (*self.inner).into_data()
    }

    /// Returns the store's engine.
    pub fn engine(&self) -> &Engine {
        engine_of(self.core())
    }

    /// Sets the guest's limits from now on. What the guest already holds stays. If there is a [`Store::limiter`] as
    /// well, both must allow growth.
    ///
    /// ```
    /// use belljar::{Engine, Limits, Memory, MemoryType, Store};
    /// let mut store = Store::new(&Engine::default(), ());
    /// store.set_limits(Limits::default().memory(1 << 20))?;
    /// assert!(Memory::new(&mut store, MemoryType::new(16, None)).is_ok());
    /// let error = Memory::new(&mut store, MemoryType::new(1, None)).unwrap_err();
    /// assert_eq!(error.to_string(), "memory: the guest wanted 1088 KiB, and its limit is 1024 KiB (Limits::memory)");
    /// assert_eq!(store.resource_usage().memory, 1 << 20);
    /// # Ok::<(), belljar::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if fuel is limited and the engine does not count it.
    pub fn set_limits(&mut self, limits: Limits) -> Result<()> {
        if limits.get(Limit::Fuel).is_some() {
            fuel_is_counted(self.core())?;
        }
        self.inner.core_mut().set_quota(limits.0);
        store_extension::limits_changed(self.inner.core_mut());
        Ok(())
    }

    /// Adds the store to a group whose stores share their limits: from now on, the limits that [`Store::set_limits`]
    /// gives each of them apply to what all of them use together.
    pub fn set_limit_group(&mut self, group: &LimitGroup) {
        self.inner.core_mut().set_limit_group(Some(group.0.clone()));
    }

    /// Returns the limits of [`Store::set_limits`], or [`Limits::unlimited`] if none were set.
    pub fn limits(&self) -> Limits {
        self.inner.core().quota().cloned().map_or_else(Limits::unlimited, Limits)
    }

    /// Returns the store's current usage of the resources that can be limited.
    pub fn resource_usage(&self) -> ResourceUsage {
        self.inner.core().usage().into()
    }

    /// Returns why growth was last refused (the guest got −1), if a limit of the store or its engine was the reason.
    /// The error is a [`crate::LimitExceeded`] or a [`crate::EngineLimitExceeded`].
    ///
    /// ```
    /// use belljar::{Engine, Instance, Limits, Module, Store};
    /// let engine = Engine::default();
    /// let module = Module::new(
    ///     &engine,
    ///     r#"(module (memory 1) (func (export "grow") (result i32) (memory.grow (i32.const 16))))"#,
    /// )?;
    /// let mut store = Store::new(&engine, ());
    /// store.set_limits(Limits::unlimited().memory(1 << 20))?;
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// assert_eq!(instance.get_typed_func::<(), i32>(&mut store, "grow")?.call(&mut store, ())?, -1);
    /// assert_eq!(
    ///     store.refused_growth().unwrap().to_string(),
    ///     "memory: the guest wanted 1088 KiB, and its limit is 1024 KiB (Limits::memory)"
    /// );
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn refused_growth(&self) -> Option<Error> {
        self.inner.core().refused().map(|refusal| refusal.into_error())
    }

    /// From here to [`Store::end_session`], limits of time and fuel apply to all calls together.
    pub(crate) fn begin_session(&mut self) {
        self.inner.core_mut().begin_session();
    }

    /// See [`Store::begin_session`].
    pub(crate) fn end_session(&mut self) {
        self.inner.core_mut().end_session();
    }

    /// Sets the limiter, which decides whether memories and tables may grow, and how many instances, memories and
    /// tables the store may have. It is usually a [`crate::StoreLimits`] in the store's data.
    ///
    /// ```
    /// use belljar::{Engine, Memory, MemoryType, Store, StoreLimits, StoreLimitsBuilder};
    /// let engine = Engine::default();
    /// let limits = StoreLimitsBuilder::new().memory_size(1 << 20).build();
    /// let mut store = Store::new(&engine, limits);
    /// store.limiter(|limits| limits);
    /// assert!(Memory::new(&mut store, MemoryType::new(17, None)).is_err());
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn limiter(&mut self, limiter: impl FnMut(&mut T) -> Limiter<'_> + Send + Sync + 'static) {
        self.inner.set_limiter(limiter);
    }

    /// Sets a function that is called at each transition between host and guest: before and after each run of a guest,
    /// and before and after each host function that it calls. An error of the hook ends the run with this error. There
    /// is one hook; calls that it makes itself are not reported. Stores without a hook pay nothing.
    ///
    /// ```
    /// use belljar::{CallHook, Engine, Instance, Module, Store};
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (func (export "f")))"#)?;
    /// let mut store = Store::new(&engine, Vec::new());
    /// store.call_hook(|mut context, transition| {
    ///     context.data_mut().push(transition);
    ///     Ok(())
    /// });
    /// let f = Instance::new(&mut store, &module, &[])?.get_typed_func::<(), ()>(&mut store, "f")?;
    /// f.call(&mut store, ())?;
    /// assert_eq!(*store.data(), [CallHook::CallingWasm, CallHook::ReturningFromWasm]);
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn call_hook(
        &mut self,
        mut hook: impl FnMut(StoreContextMut<'_, T>, CallHook) -> Result<()> + Send + Sync + 'static,
    ) {
        let hook = move |store: &mut StoreInner<T>, transition| hook(StoreContextMut::new(store), transition);
        self.inner.set_call_hook(Some(Box::new(hook)));
    }

    /// Collects all garbage now, instead of when the heap has grown. Pass the error of an allocation that failed, or
    /// `None`: it makes no difference, because every collection is a full one.
    ///
    /// # Errors
    ///
    /// Returns an error if the heap still exceeds its limit afterwards.
    pub fn gc(&mut self, why: Option<&GcHeapOutOfMemory<()>>) -> Result<()> {
        self.as_context_mut().gc(why)
    }

    /// Returns the bytes that the heap of objects takes.
    pub fn gc_heap_capacity(&self) -> usize {
        self.core().usage().gc_heap as usize
    }

    /// Returns statistics of the garbage collector.
    pub fn gc_stats(&self) -> crate::GcStats {
        self.inner.core().gc_stats()
    }

    /// Returns the remaining fuel.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not count fuel ([`crate::Config::consume_fuel`]).
    pub fn get_fuel(&self) -> Result<u64> {
        get_fuel(self.core())
    }

    /// Sets the remaining fuel. A new store has none.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not count fuel ([`crate::Config::consume_fuel`]).
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        set_fuel(self.inner.core_mut(), fuel)
    }

    /// Sets the epoch deadline to `ticks_beyond_current` ticks after the engine's current epoch. A guest that reaches
    /// its deadline is interrupted. The deadline of a new store is the epoch at which the store was created: set one
    /// before the first call.
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.inner.core_mut().set_epoch_deadline(ticks_beyond_current);
    }

    /// Makes the guest trap at the epoch deadline. This is the default.
    pub fn epoch_deadline_trap(&mut self) {
        self.inner.set_epoch_callback(None);
    }

    /// Makes `callback` decide at the epoch deadline whether the guest continues.
    pub fn epoch_deadline_callback(
        &mut self,
        mut callback: impl FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync + 'static,
    ) {
        let ask = move |store: &mut StoreInner<T>| match callback(StoreContextMut::new(store))? {
            UpdateDeadline::Continue(ticks) => Ok(ticks),
            UpdateDeadline::Interrupt => Err(Error::new(crate::Trap::Interrupt)),
        };
        self.inner.set_epoch_callback(Some(Box::new(ask)));
    }
}

impl<T: Default + 'static> Default for Store<T> {
    fn default() -> Self {
        Self::new(&Engine::default(), T::default())
    }
}

impl<T: fmt::Debug + 'static> fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("data", self.data()).finish_non_exhaustive()
    }
}

impl<T: 'static> AsContext for Store<T> {
    type Data = T;
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(&self.inner)
    }
}

impl<T: 'static> AsContextMut for Store<T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut::new(&mut self.inner)
    }
}
