//! Stores, and the borrowed forms of them that functions take.

use crate::context::{AsContext, AsContextMut, StoreContext, StoreContextMut};
use crate::guest_ranges::GuestRanges;
use crate::{Engine, Error, KillHandle, KillReason, Limit, LimitGroup, Limits, ResourceUsage, Result};
use belljar_vm::{Limiter, StoreCore, StoreInner};
use std::fmt;

/// Everything that a group of instances can reach, with data of the embedder's.
///
/// Handles ([`crate::Func`], [`crate::Memory`], …) are numbers that mean something in the store that they
/// came from; with another they are refused. Dropping the store ends everything in it.
pub struct Store<T: 'static> {
    pub(crate) inner: Box<StoreInner<T>>,
    pub(crate) engine: Engine,
}

/// What a store's epoch callback decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UpdateDeadline {
    /// The guest goes on until the epoch is this many ticks on.
    Continue(u64),
    /// The guest traps with [`crate::Trap::Interrupt`].
    Interrupt,
}

impl<T: 'static> Store<T> {
    /// A new, empty store.
    ///
    /// # Panics
    ///
    /// Where the process has no address space left for it; see [`Store::try_new`].
    pub fn new(engine: &Engine, data: T) -> Self {
        Self::try_new(engine, data).expect("address space for a store")
    }

    /// A new, empty store.
    ///
    /// # Errors
    ///
    /// Where the process has no address space left for it.
    pub fn try_new(engine: &Engine, data: T) -> Result<Self> {
        Self::with_data(engine, Some(data))
    }

    /// A new store, whose data may follow later: see [`Store::replace_data`].
    pub(crate) fn with_data(engine: &Engine, data: Option<T>) -> Result<Self> {
        let mut inner = StoreInner::new(engine.runtime(), data)?;
        if engine.config().host_write_check {
            GuestRanges::check_writes(inner.core_mut());
        }
        Ok(Self { inner, engine: engine.clone() })
    }

    /// A handle for other threads, to end the store's guest while it runs.
    pub fn kill_handle(&self) -> KillHandle {
        KillHandle::of(self.inner.core().monitor().clone())
    }

    /// Why the store's guest was killed, if it was: then nothing runs in the store any more.
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

    /// Gives the store its embedder's data; returns the data that it had. Nothing may use a store without data.
    pub(crate) fn replace_data(&mut self, data: Option<T>) -> Option<T> {
        self.inner.replace_data(data)
    }

    pub(crate) fn core(&self) -> &StoreCore {
        self.inner.core()
    }

    /// Makes a store in which nothing has run what another was; `false` where it is too different.
    pub(crate) fn adopt(&mut self, from: &belljar_vm::Checkpoint) -> Result<bool> {
        self.inner.core_mut().adopt(from)
    }

    pub(crate) fn verify(&self, was: &belljar_vm::Checkpoint) -> Result<()> {
        self.inner.core().verify(was)
    }

    /// Says what the store is called where people look at it: in [`Stack::label`](crate::Stack::label), by `belljar ps`. Without,
    /// it is the name of its first module. In a session of a sandbox it lasts until the session is over.
    pub fn set_label(&mut self, label: &str) {
        self.inner.core().monitor().set_label(Some(label.into()));
    }

    /// The embedder's data.
    pub fn data(&self) -> &T {
        self.inner.data()
    }

    /// The embedder's data.
    pub fn data_mut(&mut self) -> &mut T {
        self.inner.data_mut()
    }

    /// The embedder's data, and the end of the store.
    pub fn into_data(self) -> T {
        (*self.inner).into_data()
    }

    /// The store's engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Says what the guest may have from now on, whatever the store's data is. What it has already stays. If there is a
    /// [`Store::limiter`] as well, both must agree to growth.
    ///
    /// ```
    /// use belljar::{Engine, Limits, Memory, MemoryType, Store};
    /// let mut store = Store::new(&Engine::default(), ());
    /// store.set_limits(Limits::default().memory(1 << 20))?;
    /// assert!(Memory::new(&mut store, MemoryType::new(16, None)).is_ok());
    /// let error = Memory::new(&mut store, MemoryType::new(1, None)).unwrap_err();
    /// assert_eq!(error.to_string(), "memory: the guest wanted 1088 KiB, and its limit is 1 MiB (Limits::memory)");
    /// assert_eq!(store.resource_usage().memory, 1 << 20);
    /// # Ok::<(), belljar::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where fuel is limited, and the engine does not count it.
    pub fn set_limits(&mut self, limits: Limits) -> Result<()> {
        if limits.get(Limit::Fuel).is_some() {
            fuel_is_counted(&self.engine)?;
        }
        self.inner.core_mut().set_quota(limits.0);
        Ok(())
    }

    /// Counts what the store uses together with the other stores of a group, from now on: what each of them may have by its
    /// [`Store::set_limits`] is what all of them may have together.
    pub fn set_limit_group(&mut self, group: &LimitGroup) {
        self.inner.core_mut().set_limit_group(Some(group.0.clone()));
    }

    /// What the guest may have, as [`Store::set_limits`] said; without that, anything.
    pub fn limits(&self) -> Limits {
        self.inner.core().quota().cloned().map_or_else(Limits::unlimited, Limits)
    }

    /// What the store uses now of what can be limited.
    pub fn resource_usage(&self) -> ResourceUsage {
        self.inner.core().usage().into()
    }

    /// Why growth was refused the last time, if a limit of the store or its engine was the reason: what the guest was told with −1.
    /// It holds a [`crate::LimitExceeded`] or an [`crate::EngineLimitExceeded`].
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
    ///     "memory: the guest wanted 1088 KiB, and its limit is 1 MiB (Limits::memory)"
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

    /// Sets who decides whether memories and tables may grow, and how many instances, memories and tables
    /// there may be: usually a [`crate::StoreLimits`] in the data.
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

    /// Collects all garbage now, instead of when the heap has grown.
    ///
    /// # Errors
    ///
    /// Where the heap exceeds its limit even so.
    pub fn gc(&mut self) -> Result<()> {
        self.inner.erased().collect_garbage()
    }

    /// What the collector has done so far.
    pub fn gc_stats(&self) -> crate::GcStats {
        self.inner.core().gc_stats()
    }

    /// Fuel left.
    ///
    /// # Errors
    ///
    /// Where the engine does not count fuel ([`crate::Config::consume_fuel`]).
    pub fn get_fuel(&self) -> Result<u64> {
        fuel_is_counted(&self.engine)?;
        Ok(self.inner.core().fuel())
    }

    /// Sets the fuel left. A new store has none.
    ///
    /// # Errors
    ///
    /// As [`Store::get_fuel`].
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        fuel_is_counted(&self.engine)?;
        self.inner.core_mut().set_fuel(fuel);
        Ok(())
    }

    /// The guest is interrupted when the engine's epoch is this many ticks on. A new store's deadline is the
    /// epoch at which it was made: set one before the first call.
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.inner.core_mut().set_epoch_deadline(ticks_beyond_current);
    }

    /// At the deadline the guest traps. This is how stores start.
    pub fn epoch_deadline_trap(&mut self) {
        self.inner.set_epoch_callback(None);
    }

    /// At the deadline `callback` decides.
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

fn fuel_is_counted(engine: &Engine) -> Result<()> {
    anyhow::ensure!(
        engine.compiler().tunables.consume_fuel,
        "fuel is not counted: make the engine with Config::consume_fuel(true)"
    );
    Ok(())
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
