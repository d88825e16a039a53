//! Contexts, which are borrowed stores, and the [`Caller`] of a host function.

use crate::engine::engine_of;
use crate::{Engine, GcHeapOutOfMemory, KillHandle, Result};
use belljar_core::{InstanceId, article, ensure};
use belljar_vm::{StoreCore, StoreId, StoreInner};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A borrowed store.
pub struct StoreContext<'a, T: 'static>(pub(crate) &'a StoreInner<T>);

impl<T: 'static> Clone for StoreContext<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: 'static> Copy for StoreContext<'_, T> {}

impl<T: 'static> fmt::Debug for StoreContext<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreContext").finish_non_exhaustive()
    }
}

/// A mutably borrowed store.
///
/// It is not [`Send`], and neither is a [`Caller`]: the store's guest may be waiting on this thread for a host
/// function, and one guest does not run on two threads. A [`crate::Store`] may move to another thread between its runs.
pub struct StoreContextMut<'a, T: 'static>(pub(crate) &'a mut StoreInner<T>, OfThisThread);

/// Makes a type not [`Send`].
type OfThisThread = PhantomData<*const ()>;

impl<T: 'static> fmt::Debug for StoreContextMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreContextMut").finish_non_exhaustive()
    }
}

impl<T: 'static> StoreContext<'_, T> {
    /// Returns the embedder's data.
    pub fn data(&self) -> &T {
        self.0.data()
    }

    /// Returns the store's engine.
    pub fn engine(&self) -> &Engine {
        engine_of(self.0.core())
    }

    /// Returns the remaining fuel: see [`Store::get_fuel`](crate::Store::get_fuel).
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not count fuel.
    pub fn get_fuel(&self) -> Result<u64> {
        get_fuel(self.0.core())
    }
}

impl<'a, T: 'static> StoreContextMut<'a, T> {
    pub(crate) fn new(store: &'a mut StoreInner<T>) -> Self {
        Self(store, PhantomData)
    }

    /// Returns the embedder's data.
    pub fn data(&self) -> &T {
        self.0.data()
    }

    /// Returns the embedder's data.
    pub fn data_mut(&mut self) -> &mut T {
        self.0.data_mut()
    }

    /// Returns the store's engine.
    pub fn engine(&self) -> &Engine {
        engine_of(self.0.core())
    }

    /// Returns the remaining fuel: see [`Store::get_fuel`](crate::Store::get_fuel).
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not count fuel.
    pub fn get_fuel(&self) -> Result<u64> {
        get_fuel(self.0.core())
    }

    /// Sets the remaining fuel: see [`Store::set_fuel`](crate::Store::set_fuel).
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not count fuel.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        set_fuel(self.0.core_mut(), fuel)
    }

    /// Sets the epoch deadline: see [`Store::set_epoch_deadline`](crate::Store::set_epoch_deadline).
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.0.core_mut().set_epoch_deadline(ticks_beyond_current);
    }

    /// Makes the guest trap at the epoch deadline: see [`Store::epoch_deadline_trap`](crate::Store::epoch_deadline_trap).
    pub fn epoch_deadline_trap(&mut self) {
        self.0.set_epoch_callback(None);
    }

    /// Collects garbage now: see [`Store::gc`](crate::Store::gc).
    ///
    /// # Errors
    ///
    /// Returns an error if the heap still exceeds its limit afterwards.
    pub fn gc(&mut self, why: Option<&GcHeapOutOfMemory<()>>) -> Result<()> {
        // Nothing is known about an allocation that a full collection does not do.
        let _ = why;
        self.0.erased().collect_garbage()
    }

    /// Returns a kill handle of the store's guest. Host functions that wait for a long time poll it to learn whether to stop.
    pub fn kill_handle(&self) -> KillHandle {
        KillHandle::of(self.0.core().monitor().clone())
    }

    /// Returns the store's number: see [`Inspector::store_id`](crate::Inspector::store_id).
    pub fn store_id(&self) -> u64 {
        self.0.core().monitor().id()
    }

    /// Returns the bytes that the heap of objects takes.
    pub fn gc_heap_capacity(&self) -> usize {
        self.0.core().usage().gc_heap as usize
    }
}

/// Returns the remaining fuel of a store.
pub(crate) fn get_fuel(store: &StoreCore) -> Result<u64> {
    fuel_is_counted(store)?;
    Ok(store.fuel())
}

/// Sets the remaining fuel of a store.
pub(crate) fn set_fuel(store: &mut StoreCore, fuel: u64) -> Result<()> {
    fuel_is_counted(store)?;
    store.set_fuel(fuel);
    Ok(())
}

/// Returns an error if the store's engine does not count fuel.
pub(crate) fn fuel_is_counted(store: &StoreCore) -> Result<()> {
    ensure!(
        engine_of(store).settings().tunables.consume_fuel,
        "the engine does not count fuel: create it with Config::consume_fuel(true)"
    );
    Ok(())
}

/// A host function's view of its caller: the store, and the instance that imported the function.
///
/// It borrows the store for the duration of the call and cannot outlive it.
pub struct Caller<'a, T: 'static> {
    pub(crate) store: StoreContextMut<'a, T>,
    pub(crate) instance: Option<InstanceId>,
}

impl<T: 'static> Caller<'_, T> {
    /// Returns the embedder's data.
    pub fn data(&self) -> &T {
        self.store.data()
    }

    /// Returns the embedder's data.
    pub fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }

    /// Returns a kill handle of the calling guest. Host functions that wait for a long time poll it to learn whether to
    /// stop.
    pub fn kill_handle(&self) -> KillHandle {
        self.store.kill_handle()
    }

    /// Returns the store's number: see [`Inspector::store_id`](crate::Inspector::store_id).
    pub fn store_id(&self) -> u64 {
        self.store.store_id()
    }

    /// Lends `length` bytes of zeroed memory to a closure, and wipes them afterwards. Use it for buffers whose length
    /// the guest chooses: [`Limits::scratch`](crate::Limits::scratch) applies to them, but not to other memory of the host.
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
    /// Returns an error if the limit does not allow it, if the host has too little memory, or if the closure returns
    /// one.
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

    /// Returns the store's engine.
    pub fn engine(&self) -> &Engine {
        self.store.engine()
    }

    /// Returns the remaining fuel: see [`Store::get_fuel`](crate::Store::get_fuel).
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not count fuel.
    pub fn get_fuel(&self) -> Result<u64> {
        self.store.get_fuel()
    }

    /// Sets the remaining fuel: see [`Store::set_fuel`](crate::Store::set_fuel).
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not count fuel.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.store.set_fuel(fuel)
    }

    /// Collects garbage now: see [`Store::gc`](crate::Store::gc).
    ///
    /// # Errors
    ///
    /// Returns an error if the heap still exceeds its limit afterwards.
    pub fn gc(&mut self, why: Option<&GcHeapOutOfMemory<()>>) -> Result<()> {
        self.store.gc(why)
    }

    /// Returns the bytes that the heap of objects takes.
    pub fn gc_heap_capacity(&self) -> usize {
        self.store.gc_heap_capacity()
    }
}

/// A type that lends a store.
pub trait AsContext {
    /// The embedder's data.
    type Data: 'static;

    /// Lends the store.
    fn as_context(&self) -> StoreContext<'_, Self::Data>;
}

/// A type that lends a store mutably.
pub trait AsContextMut: AsContext {
    /// Lends the store.
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Self::Data>;
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

impl<'a, T: 'static> From<StoreContextMut<'a, T>> for StoreContext<'a, T> {
    fn from(context: StoreContextMut<'a, T>) -> Self {
        StoreContext(context.0)
    }
}

impl<'a, T: 'static> From<Caller<'a, T>> for StoreContextMut<'a, T> {
    fn from(caller: Caller<'a, T>) -> Self {
        caller.store
    }
}

impl<'a, C: AsContextMut> From<&'a mut C> for StoreContextMut<'a, C::Data> {
    fn from(context: &'a mut C) -> Self {
        C::as_context_mut(context)
    }
}

/// Panics if a handle does not belong to the store.
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
    panic!("{} {what} was used with a store that it does not belong to", article(what))
}
