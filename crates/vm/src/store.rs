//! A store: everything that a group of guests can reach, owned by one value.

use crate::apart::ApartActivations;
use crate::exit::Pending;
use crate::externs::Externs;
use crate::gc::{Gc, Roots};
use crate::growth_limiter::GrowthLimiter;
use crate::guest_thread::NEVER_ENTERED;
use crate::host_func::HostFunc;
use crate::instance::Instance;
use crate::interrupt::Interrupt;
use crate::kill_reason::KillReason;
use crate::limit_group::{GroupShare, LimitGroup};
use crate::quota::{Quota, Refusal};
use crate::run_limits::RunLimits;
use crate::runtime::Runtime;
use crate::sampling;
use crate::scratch::{Borrowed, Scratch};
use crate::store_id::StoreId;
use crate::store_memory::StoreMemory;
use crate::store_monitor::StoreMonitor;
use crate::store_region::StoreRegion;
use crate::table::Table;
use crate::thrown::Thrown;
use crate::types::TypeSet;
use crate::vm_ptr::VmPtr;
use belljar_abi::gc::{INDEX, header, is_traced};
use belljar_abi::{FuncObject, StoreContext};
use belljar_core::{Context, FuncRefId, GlobalType, InstanceId, RawVal, Trap, TypeId, ValType};
use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A global of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreGlobal {
    pub(crate) ty: GlobalType,
    /// Its 16-byte slot.
    pub(crate) slot: VmPtr<RawVal>,
    /// Whether it holds a reference to an object of the heap.
    pub(crate) traced: bool,
}

/// The value of [`StoreCore::ready`] if the store is not ready. No id has it.
pub(crate) const NOT_READY: u64 = u64::MAX;

/// A store without its embedder's data.
pub struct StoreCore {
    /// The part of the store that other threads may hold. It contains the store's context.
    pub(crate) monitor: Arc<StoreMonitor>,
    /// The number of the store's id, if the next run needs no preparation on the thread of the last one: the store has
    /// no run limits, was not killed, and the host holds no scoped references. [`NOT_READY`] otherwise.
    pub(crate) ready: u64,
    /// [`GuestThread::idle`](crate::guest_thread::GuestThread::idle) of the thread that entered the guest last.
    pub(crate) last_thread: usize,
    pub(crate) id: StoreId,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) region: StoreRegion,
    pub(crate) entities: Entities,
    pub(crate) heap: StoreHeap,
    pub(crate) limits: Limits,
    pub(crate) host: HostSide,
    /// Why the innermost activation is being left.
    pub(crate) pending: Option<Pending>,
    /// Activations with stacks of their own.
    pub(crate) apart: ApartActivations,
    /// Whether guest code has run, so that any memory may have been written. Only the first run sets it: see `ready`.
    pub(crate) ran: bool,
    /// Whether a checkpoint of the store was taken.
    pub(crate) has_checkpoint: bool,
    /// Why the guest was killed, if it was. Nothing runs in the store any more.
    pub(crate) killed: Option<KillReason>,
    /// Whether the store was killed or has run limits. A run checks only this.
    pub(crate) is_special: bool,
    /// Whether the embedder is told about calls between host and guest.
    pub(crate) has_call_hook: bool,
    /// The exception that the last run threw without catching it, until the embedder takes it.
    pub(crate) uncaught: Option<Thrown>,
    /// The checkpoints that the store can be rewound to.
    pub(crate) checkpoints: Vec<CheckpointRecord>,
}

/// Everything that modules and the host have added to a store, each kind numbered from 0.
#[derive(Default)]
pub(crate) struct Entities {
    pub(crate) instances: Vec<Instance>,
    pub(crate) memories: Vec<StoreMemory>,
    pub(crate) tables: Vec<Table>,
    pub(crate) globals: Vec<StoreGlobal>,
    /// The type of each tag.
    pub(crate) tags: Vec<TypeId>,
    pub(crate) host_funcs: Vec<Arc<HostFunc>>,
    /// Their function objects.
    pub(crate) host_objects: Vec<FuncRefId>,
    /// Types of entities that the host created. No module may use them.
    pub(crate) host_types: Vec<Arc<TypeSet>>,
    pub(crate) externs: Externs,
}

/// The objects of a store's guests, and the host's references to them.
#[derive(Default)]
pub(crate) struct StoreHeap {
    /// The garbage-collected heap, created when it is first needed.
    pub(crate) gc: Option<Gc>,
    /// The heap, if a collection was interrupted. It is kept until the store is rewound.
    pub(crate) abandoned: Option<Box<Gc>>,
    /// References that the host holds.
    pub(crate) roots: Roots,
}

/// The limits of a store, and what it has taken of them.
#[derive(Default)]
pub(crate) struct Limits {
    /// The checks at the start and end of each run, if there are any.
    pub(crate) run_limits: Option<Box<RunLimits>>,
    /// The store's limits, if it has any.
    pub(crate) quota: Option<Arc<Quota>>,
    /// The store's share of the usage of its group, if it has a group.
    pub(crate) group: Option<GroupShare>,
    /// The last growth that its quota or its engine's refused.
    pub(crate) refused: Option<Refusal>,
    /// Bytes taken from its engine's quota, if that has a limit.
    pub(crate) taken: u64,
    /// Fuel beyond what the counter in the context can hold.
    pub(crate) fuel_reserve: u64,
    /// Whether the store was ever given fuel.
    pub(crate) had_fuel: bool,
}

/// What the host keeps with a store.
pub(crate) struct HostSide {
    /// A context that belongs to no instance, created when it is first needed.
    pub(crate) host_caller_context: Option<usize>,
    /// Memory for host functions.
    pub(crate) scratch: Scratch,
    /// A value of the embedding layer.
    pub(crate) extension: Option<Box<dyn Any + Send + Sync>>,
    /// The engine, as the embedding layer knows it.
    pub(crate) embedder: Option<Box<dyn Any + Send + Sync>>,
    pub(crate) hooks: Hooks,
}

/// A checkpoint that a store can be rewound to, with the state that the checkpoint does not hold because other stores
/// adopt it too.
#[derive(Debug)]
pub(crate) struct CheckpointRecord {
    /// The checkpoint's number.
    pub(crate) number: u64,
    /// The label of the store.
    pub(crate) label: Option<Arc<str>>,
    /// The store's limit group.
    pub(crate) group: Option<Arc<LimitGroup>>,
}

/// Functions that know the embedder's type, for code that does not.
#[derive(Clone, Copy)]
pub(crate) struct Hooks {
    /// [`std::any::TypeId`] of the embedder's data.
    pub(crate) data_type: std::any::TypeId,
    /// Runs a closure with the limiter of growth.
    ///
    /// Safety contract: ONE-BORROW, as for [`crate::StoreMut`].
    pub(crate) with_limiter: unsafe fn(NonNull<StoreCore>, &mut Growth<'_>) -> belljar_core::Result<()>,
    /// Asks the embedder by how much to move the epoch deadline. `None` means not at all: trap.
    ///
    /// Safety contract: ONE-BORROW, as for [`crate::StoreMut`].
    pub(crate) new_epoch: unsafe fn(NonNull<StoreCore>) -> belljar_core::Result<Option<u64>>,
}

/// A closure that grows a part of the store, given the limiter of growth.
pub(crate) type Growth<'a> =
    dyn FnMut(&mut StoreCore, &mut GrowthLimiter<'_>) -> belljar_core::Result<()> + 'a;

impl StoreCore {
    pub(crate) fn new(runtime: &Arc<Runtime>, hooks: Hooks) -> belljar_core::Result<Self> {
        let region = StoreRegion::new(&runtime.regions).context("no address space for a store's region")?;
        let epoch_counter: *const AtomicU64 = &*runtime.epoch;
        let context = StoreContext {
            entry_fp: 0,
            exit_fp: 0,
            pending: 0,
            entry_sp: 0,
            stack_limit: 0,
            exit_pc: 0,
            exit_callee: 0,
            is_apart: 0,
            fuel: 0,
            epoch_deadline: 0,
            epoch_counter: VmPtr::expose(epoch_counter).address(),
            store: 0,
            stack_size: runtime.stack_size,
            stack_floor: 0,
            trap_pc: 0,
            trap_fp: 0,
            trap_address: 0,
            trap_code: 0,
            exit_sp: 0,
            exit_saved: [0; 5],
        };
        let id = StoreId::next();
        let mut core = Self {
            monitor: runtime.watch_store(id, context),
            ready: NOT_READY,
            last_thread: NEVER_ENTERED,
            is_special: false,
            has_call_hook: false,
            uncaught: None,
            killed: None,
            id,
            runtime: runtime.clone(),
            region,
            entities: Entities::default(),
            heap: StoreHeap::default(),
            limits: Limits::default(),
            host: HostSide {
                host_caller_context: None,
                scratch: Scratch::default(),
                extension: None,
                embedder: None,
                hooks,
            },
            pending: None,
            apart: ApartActivations::default(),
            ran: false,
            has_checkpoint: false,
            checkpoints: Vec::new(),
        };
        core.write_null_object();
        core.set_run_limits(&Quota::UNLIMITED);
        Ok(core)
    }

    /// Returns the store that a context belongs to, for a context that its guest code passes to the host.
    ///
    /// # Safety
    ///
    /// `context` belongs to a live store, and no other thread runs guest code of it.
    #[inline]
    pub(crate) unsafe fn of_context(context: VmPtr<StoreContext>) -> VmPtr<StoreCore> {
        // SAFETY: the caller's promise; the core is the first field of the store whose address lies there.
        VmPtr::at(unsafe { (*context.as_ptr()).store })
    }

    /// Writes the object at id 0, whose signature equals no other.
    fn write_null_object(&self) {
        let object = VmPtr::<FuncObject>::at(self.region.const_base()).as_ptr();
        // SAFETY: the first 32 bytes of the constants are reserved for it (IN-BOUNDS), and are otherwise zero.
        unsafe { (&raw mut (*object).sig).write(FuncObject::NULL_SIG) };
    }

    /// Returns what other threads may hold to observe the guest.
    pub fn monitor(&self) -> &Arc<StoreMonitor> {
        &self.monitor
    }

    /// Returns the store's id.
    pub fn id(&self) -> StoreId {
        self.id
    }

    /// Returns the value that the embedding layer keeps with the store, if it has set one. It survives a rewind.
    #[inline]
    pub fn extension(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.host.extension.as_deref()
    }

    /// Returns [`StoreCore::extension`] for writing.
    #[inline]
    pub fn extension_mut(&mut self) -> &mut Option<Box<dyn Any + Send + Sync>> {
        &mut self.host.extension
    }

    /// Returns the engine as the embedding layer knows it, if it was set.
    #[inline]
    pub fn embedder(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.host.embedder.as_deref()
    }

    /// Sets [`StoreCore::embedder`], once after the store was created.
    pub fn set_embedder(&mut self, engine: Box<dyn Any + Send + Sync>) {
        self.host.embedder = Some(engine);
    }

    /// Publishes the current size of the store's memories to observers.
    pub(crate) fn publish_memory_size(&self) {
        let memories: u64 = self.entities.memories.iter().map(|m| m.memory.length() as u64).sum();
        let objects = self.heap.gc.as_ref().map_or(0, |gc| gc.heap.size());
        self.monitor.set_memory(memories + objects);
    }

    /// Returns the state that the store shares with the other stores of its engine.
    pub fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// Lends host functions `length` zeroed bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the quota does not allow it, or the machine has no memory.
    pub fn borrow_scratch(&mut self, length: usize) -> belljar_core::Result<Borrowed> {
        self.host.scratch.borrow(length, self.limits.quota.as_deref())
    }

    /// Takes lent bytes back.
    pub fn return_scratch(&mut self, bytes: Borrowed) {
        self.host.scratch.take_back(bytes);
    }

    /// Returns the store context.
    #[inline]
    pub(crate) fn context(&self) -> *mut StoreContext {
        self.monitor.context().as_ptr()
    }

    /// Returns the store context, while no guest code runs.
    #[inline]
    pub(crate) fn context_mut(&mut self) -> &mut StoreContext {
        // SAFETY: STORE-EXCLUSIVE: only the holder of the store's `&mut` accesses its context.
        unsafe { self.monitor.context().as_mut() }
    }

    /// Returns the address of the store context.
    pub(crate) fn context_address(&self) -> usize {
        self.monitor.context().address()
    }

    /// Returns whether guest code of this store is running below the caller.
    pub fn is_running(&self) -> bool {
        self.entry_fp() != 0
    }

    /// Returns the frame pointer of the innermost activation's entry stub; 0 if there is none.
    #[inline]
    pub(crate) fn entry_fp(&self) -> usize {
        // SAFETY: STORE-EXCLUSIVE: nothing writes it while `self` is borrowed.
        unsafe { (*self.context()).entry_fp }
    }

    /// Returns the remaining fuel.
    pub fn fuel(&self) -> u64 {
        // SAFETY: STORE-EXCLUSIVE.
        let counter = unsafe { (*self.context()).fuel };
        self.limits.fuel_reserve.saturating_add(counter.min(0).unsigned_abs())
    }

    /// Sets the remaining fuel.
    pub fn set_fuel(&mut self, fuel: u64) {
        let now = fuel.min(i64::MAX as u64);
        self.limits.fuel_reserve = fuel - now;
        self.limits.had_fuel |= fuel > 0;
        self.context_mut().fuel = -(now as i64);
    }

    /// Returns whether the store was ever given fuel.
    pub fn had_fuel(&self) -> bool {
        self.limits.had_fuel
    }

    /// Moves fuel from the reserve to the counter. Returns `false` if there is none.
    pub(crate) fn refill_fuel(&mut self) -> bool {
        let reserve = self.limits.fuel_reserve;
        if reserve == 0 {
            return false;
        }
        let counter = self.context_mut().fuel;
        let more = reserve.min(i64::MAX as u64);
        self.limits.fuel_reserve = reserve - more;
        self.context_mut().fuel = counter - more as i64;
        true
    }

    /// Returns whether an epoch deadline was set. Without one, a guest is interrupted at once.
    pub fn has_epoch_deadline(&self) -> bool {
        // SAFETY: STORE-EXCLUSIVE.
        unsafe { (*self.context()).epoch_deadline > 0 }
    }

    /// Lets the guest run until the engine's epoch has advanced by this many ticks.
    pub fn set_epoch_deadline(&mut self, ticks: u64) {
        let now = self.runtime.epoch();
        self.context_mut().epoch_deadline = now.saturating_add(ticks);
    }

    /// Returns the number of instances.
    pub fn instance_count(&self) -> usize {
        self.entities.instances.len()
    }

    pub(crate) fn instance(&self, id: InstanceId) -> &Instance {
        &self.entities.instances[id.index()]
    }

    /// Returns the host value of a reference; `None` for null, and for objects of guests.
    pub fn extern_value(&self, reference: crate::RawExtern) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.entities.externs.get(self.extern_index(reference)?)
    }

    /// Returns [`StoreCore::extern_value`] for writing.
    pub fn extern_value_mut(
        &mut self,
        reference: crate::RawExtern,
    ) -> Option<&mut Arc<dyn Any + Send + Sync>> {
        let index = self.extern_index(reference)?;
        self.entities.externs.get_mut(index)
    }

    fn extern_index(&self, reference: crate::RawExtern) -> Option<u32> {
        if reference.0 == 0 || reference.0 & 1 != 0 || self.object_header(reference.0) & header::EXTERN == 0 {
            return None;
        }
        Some(self.heap.gc.as_ref()?.heap.word(reference.0 + INDEX))
    }

    /// Returns whether values of a type may refer to objects of the heap.
    pub(crate) fn is_traced(&self, ty: ValType) -> bool {
        is_traced(ty, &*self.runtime.types)
    }
}

impl Drop for StoreCore {
    fn drop(&mut self) {
        sampling::drain();
        self.runtime.forget_store(&self.monitor);
        self.monitor.end();
        self.runtime.give_back_memory(self.limits.taken);
        if self.ran {
            self.entities.memories.iter_mut().for_each(|m| m.memory.touch());
        }
    }
}

impl StoreCore {
    /// Checks, during a long operation, whether the guest that waits for it is to end.
    ///
    /// # Errors
    ///
    /// Returns [`Trap::Interrupt`] if a guest of the store waits for the caller and was killed.
    #[inline]
    pub fn check_interrupt(&self) -> Result<(), Trap> {
        match self.is_running() && self.monitor.is_killed() {
            true => Err(Trap::Interrupt),
            false => Ok(()),
        }
    }

    /// Returns the interrupt that a collection polls.
    pub(crate) fn interrupt(&self) -> Interrupt {
        Interrupt::new(self.is_running().then(|| self.monitor.clone()))
    }
}
