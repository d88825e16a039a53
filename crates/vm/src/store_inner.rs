//! A store with its embedder's data.

use crate::call_hook::CallHook;
use crate::growth_limiter::{GrowthLimiter, Limiter};
use crate::runtime::Runtime;
use crate::store::{Growth, Hooks, StoreCore};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

type LimiterAccess<T> = Box<dyn FnMut(&mut T) -> Limiter<'_> + Send + Sync>;

type EpochCallback<T> = Box<dyn FnMut(&mut StoreInner<T>) -> belljar_core::Result<u64> + Send + Sync>;

type CallHookFn<T> = Box<dyn FnMut(&mut StoreInner<T>, CallHook) -> belljar_core::Result<()> + Send + Sync>;

/// Why the data is present: only idle sandboxes have none, and those cannot be used.
const DATA: &str = "a store that is in use has its data";

/// A store with its embedder's data. Always boxed, with cache lines of its own: threads that run different stores do
/// not share any.
#[repr(C, align(128))]
pub struct StoreInner<T> {
    // First, so that its address is that of the whole store: `Hooks` rely on it.
    core: StoreCore,
    /// `None` while a sandbox is idle: then the store holds nothing of the embedder's.
    data: Option<T>,
    limiter: Setting<LimiterAccess<T>>,
    epoch: Setting<EpochCallback<T>>,
    call_hook: Setting<CallHookFn<T>>,
}

/// A callback of the embedder, and its value at the store's checkpoint if it has been set since.
struct Setting<V> {
    now: Option<V>,
    before: Option<Option<V>>,
}

impl<V> Setting<V> {
    const NONE: Self = Self { now: None, before: None };

    fn set(&mut self, value: Option<V>, has_checkpoint: bool) {
        let old = std::mem::replace(&mut self.now, value);
        if has_checkpoint && self.before.is_none() {
            self.before = Some(old);
        }
    }

    fn restore(&mut self) {
        if let Some(before) = self.before.take() {
            self.now = before;
        }
    }
}

impl<T: 'static> StoreInner<T> {
    /// Creates an empty store.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no address space for its region.
    pub fn new(runtime: &Arc<Runtime>, data: Option<T>) -> belljar_core::Result<Box<Self>> {
        let hooks = Hooks {
            data_type: std::any::TypeId::of::<T>(),
            with_limiter: with_limiter::<T>,
            new_epoch: new_epoch::<T>,
        };
        Ok(Box::new(Self {
            core: StoreCore::new(runtime, hooks)?,
            data,
            limiter: Setting::NONE,
            epoch: Setting::NONE,
            call_hook: Setting::NONE,
        }))
    }

    /// Returns the store without its data.
    pub fn core(&self) -> &StoreCore {
        &self.core
    }

    /// Returns the store without its data, for writing.
    pub fn core_mut(&mut self) -> &mut StoreCore {
        &mut self.core
    }

    /// Returns the embedder's data.
    pub fn data(&self) -> &T {
        self.data.as_ref().expect(DATA)
    }

    /// Returns the embedder's data for writing.
    pub fn data_mut(&mut self) -> &mut T {
        self.data.as_mut().expect(DATA)
    }

    /// Sets the embedder's data and returns the previous data.
    pub fn replace_data(&mut self, data: Option<T>) -> Option<T> {
        std::mem::replace(&mut self.data, data)
    }

    /// Returns the store and the embedder's data at once.
    pub fn split(&mut self) -> (&mut StoreCore, &mut T) {
        (&mut self.core, self.data.as_mut().expect(DATA))
    }

    /// Returns the embedder's data and drops everything else.
    pub fn into_data(self) -> T {
        self.data.expect(DATA)
    }

    /// Sets the limiter of growth.
    pub fn set_limiter(&mut self, limiter: impl FnMut(&mut T) -> Limiter<'_> + Send + Sync + 'static) {
        self.limiter.set(Some(Box::new(limiter)), self.core.has_checkpoint);
    }

    /// Sets what happens at the epoch deadline: a closure that returns by how much it moves, or a trap.
    pub fn set_epoch_callback(&mut self, callback: Option<EpochCallback<T>>) {
        self.epoch.set(callback, self.core.has_checkpoint);
    }

    /// Sets what is called at each transition between host and guest.
    pub fn set_call_hook(&mut self, hook: Option<CallHookFn<T>>) {
        let is_set = hook.is_some();
        self.call_hook.set(hook, self.core.has_checkpoint);
        self.core.set_has_call_hook(is_set);
    }

    /// Takes the hook out while it runs.
    pub(crate) fn take_call_hook(&mut self) -> Option<CallHookFn<T>> {
        self.call_hook.now.take()
    }

    /// Puts the hook back, unless it has set another one.
    pub(crate) fn put_call_hook(&mut self, hook: CallHookFn<T>) {
        if self.core.has_call_hook && self.call_hook.now.is_none() {
            self.call_hook.now = Some(hook);
        }
    }

    /// Restores the callbacks that were set when the store's checkpoint was taken.
    pub(crate) fn restore_callbacks(&mut self) {
        self.limiter.restore();
        self.epoch.restore();
        self.call_hook.restore();
        let is_set = self.call_hook.now.is_some();
        self.core.set_has_call_hook(is_set);
    }

    /// Runs `f` with the store and the limiter of growth.
    pub(crate) fn limited<R>(&mut self, f: impl FnOnce(&mut StoreCore, &mut GrowthLimiter<'_>) -> R) -> R {
        let limiter = self.limiter.now.as_mut().zip(self.data.as_mut()).map(|(access, data)| access(data));
        let mut growth_limiter = self.core.growth_limiter(limiter);
        let done = f(&mut self.core, &mut growth_limiter);
        self.core.commit(growth_limiter);
        done
    }
}

/// Implements [`Hooks::with_limiter`].
///
/// # Safety
///
/// `store` is the address of a `StoreInner<T>` of which nothing is borrowed (ONE-BORROW).
unsafe fn with_limiter<T: 'static>(
    store: NonNull<StoreCore>,
    f: &mut Growth<'_>,
) -> belljar_core::Result<()> {
    // SAFETY: the core is the first field of a `repr(C)` struct, and the caller holds the whole.
    let store = unsafe { store.cast::<StoreInner<T>>().as_mut() };
    store.limited(f)
}

/// Implements [`Hooks::new_epoch`].
///
/// # Safety
///
/// The conditions of [`with_limiter`] apply.
unsafe fn new_epoch<T: 'static>(store: NonNull<StoreCore>) -> belljar_core::Result<Option<u64>> {
    // SAFETY: as in `with_limiter`.
    let store = unsafe { store.cast::<StoreInner<T>>().as_mut() };
    // Taken out while it runs, since it gets the store itself.
    let Some(mut callback) = store.epoch.now.take() else { return Ok(None) };
    let decided = catch_unwind(AssertUnwindSafe(|| callback(store)));
    // Also after a panic, so that the next run uses the same callback.
    if store.epoch.now.is_none() {
        store.epoch.now = Some(callback);
    }
    decided.unwrap_or_else(|panic| resume_unwind(panic)).map(Some)
}
