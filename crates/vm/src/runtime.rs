//! The state that all stores of an engine share: types, pools, trampolines, the epoch.

use crate::memory::{MemoryPool, MemorySettings};
use crate::quota::{EngineLimit, EngineLimitExceeded, EngineQuota};
use crate::store_id::StoreId;
use crate::store_monitor::StoreMonitor;
use crate::store_region::RegionPool;
use crate::stored_trampolines::StoredTrampolines;
use crate::sys::SignalsHandled;
use crate::trampolines::TrampolineAreas;
use crate::types::TypeRegistry;
use belljar_abi::{CompiledFunction, StoreContext, TrampolineKind};
use belljar_core::{Context, FuncType, HeapType, SubType, TypeId, ValType};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Compiles trampolines for signatures that do not fit into registers, if no loaded module's file contains them. An
/// engine's compiler implements this.
pub trait TrampolineSource: Send + Sync {
    /// Compiles the trampoline for a signature, without relocations.
    ///
    /// # Errors
    ///
    /// Returns an error if the compiler refuses the signature, or there is no compiler.
    fn trampoline(&self, kind: TrampolineKind, ty: &FuncType) -> belljar_core::Result<CompiledFunction>;

    /// Called when a trampoline's code is in memory, before it runs.
    fn loaded(&self, kind: TrampolineKind, ty: &FuncType, address: usize, code: &[u8]) {
        let _ = (kind, ty, address, code);
    }
}

/// The settings of an engine that its runtime needs.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeSettings {
    /// Bytes of native stack for guest code.
    pub stack_size: usize,
    /// Collects garbage at every allocation.
    pub gc_stress: bool,
    /// Whether code is interrupted at the epoch deadline of its store.
    pub counts_epochs: bool,
    /// Whether recorded stacks are as long as core dumps show them.
    pub dumps_cores: bool,
    /// The limits for all stores together.
    pub quota: EngineQuota,
    /// How memories get address space.
    pub memory: MemorySettings,
    /// Whether the instances of a module share the initial contents of its memories.
    pub shares_images: bool,
    /// Whether shared memories can be created.
    pub shared_memory: bool,
}

impl Default for RuntimeSettings {
    /// A stack of 1 MiB, no limits, and nothing that slows guests down.
    fn default() -> Self {
        Self {
            stack_size: 1 << 20,
            gc_stress: false,
            counts_epochs: false,
            dumps_cores: false,
            quota: EngineQuota::default(),
            memory: MemorySettings::default(),
            shares_images: true,
            shared_memory: true,
        }
    }
}

/// The state that all stores of an engine share.
pub struct Runtime {
    /// Distinguishes the engine from others of the process.
    number: u32,
    pub(crate) types: Arc<TypeRegistry>,
    pub(crate) memories: Arc<MemoryPool>,
    pub(crate) regions: Arc<RegionPool>,
    pub(crate) epoch: Arc<AtomicU64>,
    pub(crate) stack_size: usize,
    /// Collect garbage at every allocation.
    pub(crate) gc_stress: bool,
    /// Whether code compares the epoch with deadlines, so that waiting threads must do so as well.
    pub(crate) counts_epochs: bool,
    /// Whether the end of a run records everything that a core dump needs.
    pub(crate) dumps_cores: bool,
    /// Whether the instances of a module share the initial contents of its memories.
    pub(crate) shares_images: bool,
    /// Whether shared memories can be created.
    pub(crate) shared_memory: bool,
    quota: EngineQuota,
    /// Bytes of its stores' memories and objects. Like calls, they are counted only if there is a limit.
    memory_used: AtomicU64,
    /// The number of stores whose guests run.
    calls: AtomicU64,
    /// All stores, by [`StoreMonitor::number`].
    stores: Mutex<BTreeMap<u64, Arc<StoreMonitor>>>,
    /// Whether all stores record when host functions are called.
    notes_host_calls: AtomicBool,
    source: Box<dyn TrampolineSource>,
    trampolines: TrampolineAreas,
    pub(crate) stored_trampolines: StoredTrampolines,
    signals: SignalsHandled,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("stack_size", &self.stack_size).finish_non_exhaustive()
    }
}

impl Runtime {
    /// Creates the part of a runtime that needs no installation. [`Runtime::new`] does the rest.
    pub(crate) fn with(
        settings: RuntimeSettings,
        source: Box<dyn TrampolineSource>,
        signals: SignalsHandled,
    ) -> Arc<Self> {
        let RuntimeSettings {
            stack_size,
            gc_stress,
            counts_epochs,
            dumps_cores,
            quota,
            memory,
            shares_images,
            shared_memory,
        } = settings;
        // The counter does not wrap around: creating an engine takes milliseconds.
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Arc::new(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            types: Arc::default(),
            memories: MemoryPool::new(memory),
            regions: Arc::default(),
            epoch: Arc::default(),
            stack_size,
            gc_stress,
            counts_epochs,
            dumps_cores,
            shares_images,
            shared_memory,
            quota,
            memory_used: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            stores: Mutex::default(),
            notes_host_calls: AtomicBool::new(false),
            source,
            trampolines: TrampolineAreas::default(),
            stored_trampolines: StoredTrampolines::default(),
            signals,
        })
    }

    /// Returns the proof that our signal handlers are installed.
    pub fn signals(&self) -> SignalsHandled {
        self.signals
    }

    /// Returns the number that distinguishes the engine from others of the process.
    pub(crate) fn engine_number(&self) -> u32 {
        self.number
    }

    /// Returns the number of bytes of native stack that guest code may use.
    pub fn stack_size(&self) -> usize {
        self.stack_size
    }

    /// Returns whether the memory of all stores together is limited.
    pub(crate) fn limits_memory(&self) -> bool {
        self.quota.memory.is_some()
    }

    /// Returns whether the number of guests that run at once is limited.
    pub(crate) fn limits_calls(&self) -> bool {
        self.quota.calls.is_some()
    }

    /// Returns the number of bytes of its stores' memories and objects; 0 if they are not limited.
    pub fn memory_used(&self) -> u64 {
        self.memory_used.load(Ordering::Relaxed)
    }

    /// Returns the number of stores whose guests run now; 0 if it is not limited.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Takes bytes, if enough are left.
    pub(crate) fn take_memory(&self, bytes: u64) -> Result<(), EngineLimitExceeded> {
        let Some(allowed) = self.quota.memory else { return Ok(()) };
        let take = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= allowed);
        match self.memory_used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(used) => {
                let stores = self.monitored_stores().values().filter(|store| store.memory() > 0).count();
                let limit = EngineLimit::Memory;
                Err(EngineLimitExceeded { limit, wanted: bytes, used, stores, allowed })
            }
        }
    }

    /// Takes bytes that are already in use, without a check.
    pub(crate) fn take_memory_unchecked(&self, bytes: u64) {
        self.memory_used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give_back_memory(&self, bytes: u64) {
        self.memory_used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts a guest that begins to run, if one more may.
    pub(crate) fn begin_call(&self) -> Result<(), EngineLimitExceeded> {
        let allowed = self.quota.calls.unwrap_or(u64::MAX);
        let more = |calls: u64| (calls < allowed).then_some(calls + 1);
        match self.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(()),
            Err(used) => {
                let (limit, stores) = (EngineLimit::Calls, used as usize);
                Err(EngineLimitExceeded { limit, wanted: 1, used, stores, allowed })
            }
        }
    }

    pub(crate) fn end_call(&self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }

    /// Defines a type of the embedder's, which the engine then keeps for good. Its references must be ids.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine has no room for another type.
    pub fn define_type(&self, ty: &SubType) -> belljar_core::Result<TypeId> {
        self.types.define(ty)
    }

    /// Returns a type that the engine knows. All its references are ids.
    pub fn defined_type(&self, id: TypeId) -> Option<Arc<SubType>> {
        self.types.ty(id)
    }

    /// Keeps a type for the engine's lifetime, since the embedder may use it at any time from now on.
    pub fn keep_type(&self, id: TypeId) {
        self.types.pin(id);
    }

    /// Returns whether every value of one type is also a value of another.
    pub fn matches(&self, a: ValType, b: ValType) -> bool {
        a.matches(b, &*self.types)
    }

    /// Returns the top of a type's hierarchy.
    pub fn top(&self, ty: HeapType) -> HeapType {
        ty.top(&*self.types)
    }

    /// Returns whether a 32-bit memory can be fully reserved on this machine now.
    pub fn can_reserve() -> bool {
        crate::memory::can_reserve()
    }

    /// Returns whether core dumps are to be made of failed runs.
    pub fn dumps_cores(&self) -> bool {
        self.dumps_cores
    }

    /// Registers a store with this id and context.
    pub(crate) fn watch_store(&self, id: StoreId, context: StoreContext) -> Arc<StoreMonitor> {
        let monitor = StoreMonitor::new(id, self.number(), context);
        if self.notes_host_calls() {
            monitor.note_host_calls();
        }
        self.monitored_stores().insert(monitor.number(), monitor.clone());
        monitor
    }

    /// Removes a store that is being dropped.
    pub(crate) fn forget_store(&self, monitor: &StoreMonitor) {
        self.monitored_stores().remove(&monitor.number());
    }

    fn monitored_stores(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<StoreMonitor>>> {
        self.stores.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Returns all stores, the oldest first.
    pub fn stores(&self) -> Vec<Arc<StoreMonitor>> {
        self.monitored_stores().values().cloned().collect()
    }

    /// Returns the number that distinguishes this engine from others in [`StoreMonitor::engine`].
    pub fn number(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Returns whether all stores record when host functions are called.
    pub(crate) fn notes_host_calls(&self) -> bool {
        self.notes_host_calls.load(Ordering::SeqCst)
    }

    /// Makes all stores record when host functions are called, from now on ([`StoreMonitor::note_host_calls`]).
    pub fn note_host_calls(&self) {
        self.notes_host_calls.store(true, Ordering::SeqCst);
        self.monitored_stores().values().for_each(|monitor| monitor.note_host_calls());
    }

    /// Increments the epoch. Async-signal-safe.
    pub fn increment_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the current epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Returns the address of the trampoline for a function type. It stays valid while the type is registered.
    ///
    /// # Errors
    ///
    /// Returns an error if no module has it and the compiler refuses the signature, or there is no memory.
    pub(crate) fn trampoline(&self, kind: TrampolineKind, ty: TypeId) -> belljar_core::Result<usize> {
        const UNKNOWN: &str = "belljar bug: a function of an unknown type";
        let (known, trampolines) = self.types.trampolines(ty).context(UNKNOWN)?;
        let func = known.composite.as_func().context(UNKNOWN)?;
        let compile = || {
            if let Some(stored) = self.stored_trampolines.find(kind, ty)? {
                return Ok(stored);
            }
            let compiled = self.source.trampoline(kind, func)?;
            let is_plain = compiled.traps.is_empty() && compiled.relocs.is_empty();
            belljar_core::ensure!(is_plain, "belljar bug: a trampoline that traps or has relocations");
            Ok(compiled.code)
        };
        trampolines.get_or_make(kind, &self.trampolines, compile, |address, code| {
            self.source.loaded(kind, func, address, code);
        })
    }
}
