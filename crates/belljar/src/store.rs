//! Stores, and the borrowed forms of them that functions take.

use crate::guest_ranges::GuestRanges;
use crate::{
    Engine, Error, Extern, Inspector, KillHandle, KillReason, Limit, LimitGroup, Limits, ResourceUsage,
    Result,
};
use belljar_core::InstanceId;
use belljar_vm::{Limiter, StoreCore, StoreId, StoreInner};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Everything that a group of instances can reach, with data of the embedder's.
///
/// Handles ([`crate::Func`], [`crate::Memory`], …) are numbers that mean something in the store that they
/// came from; with another they are refused. Dropping the store ends everything in it.
pub struct Store<T: 'static> {
    inner: Box<StoreInner<T>>,
    engine: Engine,
}

/// A borrowed store.
pub struct StoreContext<'a, T: 'static>(pub(crate) &'a StoreInner<T>);

/// A mutably borrowed store.
///
/// It stays on its thread, and so does a [`Caller`]: the store's guest may be waiting there for a host function, and one guest does
/// not run on two threads. A [`Store`] may go to another thread between its runs.
pub struct StoreContextMut<'a, T: 'static>(pub(crate) &'a mut StoreInner<T>, OfThisThread);

/// Is not [`Send`].
type OfThisThread = PhantomData<*const ()>;

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

    /// A handle for other threads, to look at the store's guest while it runs. In a session of a sandbox it is the session's, and sees
    /// nothing of those that follow.
    ///
    /// ```
    /// use belljar::{Engine, GuestState, Instance, Module, Store};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::default();
    /// let module = Module::new(
    ///     &engine,
    ///     r#"(module
    ///         (global $stop (mut i32) (i32.const 0))
    ///         (func $spin (loop (br_if 0 (i32.eqz (global.get $stop)))))
    ///         (func (export "run") (call $spin)))"#,
    /// )?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
    /// let inspector = store.inspector();
    /// assert_eq!(inspector.capture(Duration::from_secs(1))?.state(), GuestState::Idle);
    ///
    /// std::thread::spawn(move || run.call(&mut store, ()));
    /// let stack = loop {
    ///     let stack = inspector.capture(Duration::from_secs(1))?;
    ///     if stack.state() == GuestState::InGuest {
    ///         break stack;
    ///     }
    /// };
    /// assert_eq!(stack.backtrace().frames().last().unwrap().func_index(), 1);
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn inspector(&self) -> Inspector {
        Inspector::of(self.inner.core().monitor().clone())
    }

    /// A handle for other threads, to end the store's guest while it runs.
    pub fn kill_handle(&self) -> KillHandle {
        KillHandle::of(self.inner.core().monitor().clone())
    }

    /// Why the store's guest was killed, if it was: then nothing runs in the store any more.
    pub fn killed(&self) -> Option<&KillReason> {
        self.inner.core().killed()
    }

    /// The store's only instance with all its state, as an artifact: a module that begins there when it is loaded and instantiated,
    /// in this process or another. Memories, globals, tables, dropped segments and objects of the garbage-collected heap are in it;
    /// the embedder's data, fuel and limits are not. `note` is kept with it: [`Module::snapshot_note`](crate::Module::snapshot_note).
    ///
    /// It is sealed as [`Module::serialize`](crate::Module::serialize) says, and loading it is safe for the same reasons. The store
    /// that it is loaded into is to offer the same imports, in their meaning: what the guest knows of the host it still knows.
    ///
    /// ```
    /// use belljar::{ArtifactOptions, Config, Engine, Instance, Module, Store, Trust, UserKey};
    /// # fn main() -> Result<(), belljar::Error> {
    /// let mut config = Config::new();
    /// config.trust(Trust { user: Some(UserKey::from_bytes([7; 32])), ..Trust::default() });
    /// let engine = Engine::new(&config)?;
    /// let wat = r#"(module (memory 1) (func (export "warm_up") (i32.store (i32.const 0) (i32.const 42)))
    ///     (func (export "get") (result i32) (i32.load (i32.const 0))))"#;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &Module::new(&engine, wat)?, &[])?;
    /// instance.get_typed_func::<(), ()>(&mut store, "warm_up")?.call(&mut store, ())?;
    /// let snapshot = store.snapshot(b"warm", ArtifactOptions::new())?;
    ///
    /// let module = Module::deserialize(&engine, &snapshot)?;
    /// assert_eq!(module.snapshot_note()?.as_deref(), Some(&b"warm"[..]));
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// assert_eq!(instance.get_typed_func::<(), i32>(&mut store, "get")?.call(&mut store, ())?, 42);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Where the guest runs, was killed, or holds what means something in this process alone: host functions that it did not import,
    /// host values (`externref`), a memory that others share; where the store has not just one instance; where there is no key to
    /// seal it with.
    pub fn snapshot(&mut self, note: &[u8], options: crate::ArtifactOptions<'_>) -> Result<Vec<u8>> {
        let state = self.inner.erased().serialize_instance(note)?;
        let core = self.inner.core();
        let code = core.instance_module(InstanceId(0));
        crate::artifact::serialize(&self.engine, code.module(), code.code_image(), &state, options)
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

    #[doc(hidden)]
    pub fn instance(&self, number: u32) -> crate::Instance {
        crate::Instance::from_id(self.inner.core().id(), belljar_core::InstanceId(number))
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

impl<T: 'static> StoreContext<'_, T> {
    /// The embedder's data.
    pub fn data(&self) -> &T {
        self.0.data()
    }
}

impl<'a, T: 'static> StoreContextMut<'a, T> {
    pub(crate) fn new(store: &'a mut StoreInner<T>) -> Self {
        Self(store, PhantomData)
    }

    /// The embedder's data.
    pub fn data(&self) -> &T {
        self.0.data()
    }

    /// The embedder's data.
    pub fn data_mut(&mut self) -> &mut T {
        self.0.data_mut()
    }

    /// Fuel left; 0 where the engine does not count.
    pub fn fuel(&self) -> u64 {
        self.0.core().fuel()
    }

    /// Sets the fuel left.
    pub fn set_fuel(&mut self, fuel: u64) {
        self.0.core_mut().set_fuel(fuel);
    }
}

/// The host function's view of who called it: the store, and the instance that imported the function.
///
/// It borrows the store for the call and cannot outlive it.
pub struct Caller<'a, T: 'static> {
    pub(crate) store: StoreContextMut<'a, T>,
    pub(crate) instance: Option<InstanceId>,
}

impl<T: 'static> Caller<'_, T> {
    /// The embedder's data.
    pub fn data(&self) -> &T {
        self.store.data()
    }

    /// The embedder's data.
    pub fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }

    /// A handle to end the guest that called. Host functions that wait for long ask it whether they are to go on.
    pub fn kill_handle(&self) -> KillHandle {
        KillHandle::of(self.store.0.core().monitor().clone())
    }

    /// The store's number: see [`Inspector::store_id`].
    pub fn store_id(&self) -> u64 {
        self.store.0.core().monitor().id()
    }

    /// Lends the host function memory for the time of a closure: for what a guest says the length of, so that [`Limits::scratch`]
    /// holds for it, which other memory of the host knows nothing of. It is zero, and wiped afterwards.
    ///
    /// ```
    /// use belljar::{Caller, Engine, Error, Instance, LimitExceeded, Limits, Linker, Module, Store};
    /// let engine = Engine::default();
    /// let wat = r#"(module (import "host" "sum" (func $sum (param i32 i32) (result i32)))
    ///     (memory (export "memory") 1) (data (i32.const 8) "\01\02\03")
    ///     (func (export "run") (param i32) (result i32) (call $sum (i32.const 8) (local.get 0))))"#;
    /// let mut linker = Linker::new(&engine);
    /// linker.func_wrap("host", "sum", |mut caller: Caller<'_, ()>, at: u32, length: u32| -> Result<u32, Error> {
    ///     caller.with_scratch(length as usize, |caller, bytes| {
    ///         let memory = caller.get_export("memory").and_then(|export| export.into_memory());
    ///         memory.ok_or_else(|| Error::msg("no memory"))?.read(&*caller, at as usize, bytes)?;
    ///         Ok(bytes.iter().map(|byte| u32::from(*byte)).sum())
    ///     })
    /// })?;
    /// let mut store = Store::new(&engine, ());
    /// store.set_limits(Limits::default().scratch(1000))?;
    /// let instance = linker.instantiate(&mut store, &Module::new(&engine, wat)?)?;
    /// let run = instance.get_typed_func::<u32, u32>(&mut store, "run")?;
    /// assert_eq!(run.call(&mut store, 3)?, 6);
    /// let error = run.call(&mut store, 1_000_000).unwrap_err();
    /// assert!(error.is::<LimitExceeded>());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where the limit does not allow it or the machine has no room; and the closure's own.
    pub fn with_scratch<R>(
        &mut self,
        length: usize,
        work: impl FnOnce(&mut Self, &mut [u8]) -> Result<R>,
    ) -> Result<R> {
        let mut borrowed = self.store.0.core_mut().borrow_scratch(length)?;
        let done = catch_unwind(AssertUnwindSafe(|| work(self, borrowed.bytes())));
        self.store.0.core_mut().return_scratch(borrowed);
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// An export of the instance that imported the function. `None` too if the function reached the guest
    /// otherwise, as a reference that the host handed out.
    pub fn get_export(&mut self, name: &str) -> Option<Extern> {
        let core = self.store.0.core();
        let entity = core.instance_export(self.instance?, name)?;
        Some(Extern::from_entity(core, entity))
    }

    /// Fuel left.
    ///
    /// # Errors
    ///
    /// None now; the signature is that of [`Store::get_fuel`].
    pub fn get_fuel(&self) -> Result<u64> {
        Ok(self.store.fuel())
    }

    /// Sets the fuel left.
    ///
    /// # Errors
    ///
    /// None now; the signature is that of [`Store::set_fuel`].
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.store.set_fuel(fuel);
        Ok(())
    }
}

/// Whatever lends a store.
pub trait AsContext {
    /// The embedder's data.
    type Data: 'static;

    /// The store.
    fn as_context(&self) -> StoreContext<'_, Self::Data>;
}

/// Whatever lends a store mutably.
pub trait AsContextMut: AsContext {
    /// The store.
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Self::Data>;
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

impl<T: 'static> AsContext for StoreContext<'_, T> {
    type Data = T;
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.0)
    }
}

impl<T: 'static> AsContext for StoreContextMut<'_, T> {
    type Data = T;
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.0)
    }
}

impl<T: 'static> AsContextMut for StoreContextMut<'_, T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut::new(self.0)
    }
}

impl<T: 'static> AsContext for Caller<'_, T> {
    type Data = T;
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.store.0)
    }
}

impl<T: 'static> AsContextMut for Caller<'_, T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut::new(self.store.0)
    }
}

impl<C: AsContext> AsContext for &C {
    type Data = C::Data;
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}

impl<C: AsContext> AsContext for &mut C {
    type Data = C::Data;
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}

impl<C: AsContextMut> AsContextMut for &mut C {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        C::as_context_mut(self)
    }
}

impl<'a, C: AsContext> From<&'a C> for StoreContext<'a, C::Data> {
    fn from(context: &'a C) -> Self {
        C::as_context(context)
    }
}

impl<'a, C: AsContext> From<&'a mut C> for StoreContext<'a, C::Data> {
    fn from(context: &'a mut C) -> Self {
        C::as_context(context)
    }
}

impl<'a, C: AsContextMut> From<&'a mut C> for StoreContextMut<'a, C::Data> {
    fn from(context: &'a mut C) -> Self {
        C::as_context_mut(context)
    }
}

/// Holds a handle against the store that it is used with.
#[inline]
#[track_caller]
pub(crate) fn check_store(handle: StoreId, store: &StoreCore, what: &str) {
    if handle != store.id() {
        wrong_store(what);
    }
}

#[cold]
#[track_caller]
fn wrong_store(what: &str) -> ! {
    panic!("a {what} was used with a store that it does not belong to")
}
