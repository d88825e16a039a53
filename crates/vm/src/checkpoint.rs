//! Checkpoints: a store is rewound to the state that it had while nothing was running.
//!
//! In: a store whose guest does not run ([`StoreCore::checkpoint`](StoreMut::checkpoint)). Out: a [`Checkpoint`], to
//! which the same store can be rewound any number of times ([`StoreCore::rewind`]), whatever happened to it in between.
//! Never: a handle that outlives its referent.
//!
//! The state that guests can change lies in ranges of bytes that hold no address: the state half of the region, the
//! tables, linear memories, the heap of objects. These are restored; entities that were added later are removed, and
//! their space is cleared. Memories are rewound by written pages: their contents at the checkpoint are a file in
//! memory, which they map copy-on-write from then on.
//!
//! Since a checkpoint holds no address, another store of the engine can start from it too ([`StoreCore::adopt`]) if it
//! has the same skeleton: everything that does hold addresses is created by linking ([`crate::link_only`]), at the same
//! places each time.
//!
//! After a rewind the store has another [`StoreId`], so older handles are refused: their referents may be gone.

use crate::externs::Externs;
use crate::gc::GcCheckpoint;
use crate::host_func::HostFunc;
use crate::instance::Instance;
use crate::loaded::LoadedModule;
use crate::memory::MemoryCheckpoint;
use crate::quota::Quota;
use crate::sampling;
use crate::store::{CheckpointRecord, NOT_READY, StoreCore};
use crate::store_id::StoreId;
use crate::store_inner::StoreInner;
use crate::store_memory::{AnyMemory, StoreMemory};
use crate::store_mut::StoreMut;
use crate::store_region::RegionCheckpoint;
use crate::types::TypeSet;
use belljar_abi::pending;
use belljar_core::{Context, GlobalType, MemoryType, TableType, TypeId, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The state of a store at one moment.
#[derive(Debug)]
pub struct Checkpoint {
    number: u64,
    skeleton: Skeleton,
    pub(crate) region: RegionCheckpoint,
    memories: Vec<MemoryCheckpoint>,
    pub(crate) gc: Option<GcCheckpoint>,
    /// Evaluated element segments of the instances.
    segments: Vec<Vec<Option<Box<[u32]>>>>,
    /// Keeps the type ids in it valid, together with the modules.
    host_types: Vec<Arc<TypeSet>>,
    fuel: u64,
    quota: Option<Arc<Quota>>,
    /// The number of ticks between the epoch and its deadline.
    epoch_left: u64,
}

/// The parts of a store that hold addresses, and so are created anew in each store: which types entities have, and at
/// which offsets they lie.
///
/// **Invariant:** state is restored only into a store with the same skeleton. A reference in the state is an offset,
/// and has to refer to the same kind of entity there.
#[derive(Debug)]
pub(crate) struct Skeleton {
    modules: Vec<Arc<LoadedModule>>,
    memories: Vec<MemoryType>,
    tables: Vec<TableType>,
    globals: Vec<GlobalType>,
    tags: Vec<TypeId>,
    host_funcs: Vec<TypeId>,
    places: Vec<usize>,
}

impl Skeleton {
    pub(crate) fn of(store: &StoreCore) -> Self {
        Self {
            modules: store.entities.instances.iter().map(|instance| instance.module().clone()).collect(),
            memories: store.entities.memories.iter().map(|memory| memory.memory.ty()).collect(),
            tables: store.entities.tables.iter().map(|table| table.ty).collect(),
            globals: store.entities.globals.iter().map(|global| global.ty).collect(),
            tags: store.entities.tags.clone(),
            host_funcs: store.entities.host_funcs.iter().map(|func| func.sig()).collect(),
            places: places(store).collect(),
        }
    }

    pub(crate) fn is_of(&self, store: &StoreCore) -> bool {
        let same = |module: &Arc<LoadedModule>, instance: &Instance| Arc::ptr_eq(module, instance.module());
        self.modules.len() == store.entities.instances.len()
            && self
                .modules
                .iter()
                .zip(&store.entities.instances)
                .all(|(module, instance)| same(module, instance))
            && store
                .entities
                .memories
                .iter()
                .map(|memory| memory.memory.ty())
                .eq(self.memories.iter().copied())
            && store.entities.tables.iter().map(|table| table.ty).eq(self.tables.iter().copied())
            && store.entities.globals.iter().map(|global| global.ty).eq(self.globals.iter().copied())
            && store.entities.tags == self.tags
            && store.entities.host_funcs.iter().map(|func| func.sig()).eq(self.host_funcs.iter().copied())
            && places(store).eq(self.places.iter().copied())
    }

    fn host_caller_context(&self) -> Option<usize> {
        self.places[1].checked_sub(1)
    }
}

/// Returns the offset of every entity that has a place of its own, in bytes from the start of the region's halves.
pub(crate) fn places(store: &StoreCore) -> impl Iterator<Item = usize> {
    let (consts, state) = (store.region.const_base(), store.region.state_base());
    // The definition of a shared memory lies elsewhere; state is never restored into a store that has one.
    let def = move |memory: &StoreMemory| {
        memory.memory.shared().map_or(memory.def.address().wrapping_sub(consts), |_| 0)
    };
    [store.region.blocks(), store.host.host_caller_context.map_or(0, |context| context - state + 1)]
        .into_iter()
        .chain(store.entities.instances.iter().map(move |instance| instance.context() - state))
        .chain(store.entities.memories.iter().map(def))
        .chain(store.entities.tables.iter().map(move |table| table.header.address() - state))
        .chain(store.entities.globals.iter().map(move |global| global.slot.address().wrapping_sub(state)))
        .chain(store.entities.host_objects.iter().map(|func| func.0 as usize))
}

impl Checkpoint {
    /// Returns the store's memory of this number.
    pub(crate) fn memory(&self, number: usize) -> Option<&MemoryCheckpoint> {
        self.memories.get(number)
    }
}

/// Values that the embedder added after the checkpoint.
#[derive(Default)]
struct Discarded {
    host_funcs: Vec<Arc<HostFunc>>,
    values: Externs,
}

impl StoreMut<'_> {
    /// Takes a checkpoint. From now on the store's memories are cheap to rewind.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest runs or was killed, if the store has a shared memory, which cannot be rewound, or
    /// if the machine has no room for a copy.
    pub fn checkpoint(&mut self) -> belljar_core::Result<Checkpoint> {
        ensure!(
            !self.is_running(),
            "the guest is running: a checkpoint can only be taken while nothing runs"
        );
        ensure!(self.killed.is_none(), "the guest was killed, so its state may be inconsistent");
        // Then all objects are in one place, and unreachable ones are not part of the checkpoint.
        self.collect(true)?;
        self.take_checkpoint()
    }
}

impl StoreCore {
    /// Takes a checkpoint of a store whose objects all lie in the old space.
    fn take_checkpoint(&mut self) -> belljar_core::Result<Checkpoint> {
        let mut memories = Vec::with_capacity(self.entities.memories.len());
        for (i, memory) in self.entities.memories.iter_mut().enumerate() {
            let AnyMemory::Own(memory) = &mut memory.memory else {
                belljar_core::bail!("memory {i} of the store is shared with others: it cannot be rewound");
            };
            if self.ran {
                memory.touch();
            }
            memories.push(
                memory.checkpoint().with_context(|| format!("no room for the checkpoint of memory {i}"))?,
            );
        }
        self.set_untouched();
        self.has_checkpoint = true;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        self.checkpoints.push(self.record(number));
        Ok(Checkpoint {
            number,
            skeleton: Skeleton::of(self),
            region: self.region.checkpoint(),
            memories,
            gc: self.heap.gc.as_ref().map(|gc| gc.checkpoint(&self.entities.externs)),
            segments: self.entities.instances.iter().map(|instance| instance.segments.clone()).collect(),
            host_types: self.entities.host_types.clone(),
            fuel: self.fuel(),
            quota: self.limits.quota.clone(),
            epoch_left: self.context_mut().epoch_deadline.saturating_sub(self.runtime.epoch()),
        })
    }

    /// Makes a store in which nothing has run yet adopt a checkpoint of another store of the engine. From then on it
    /// can be rewound to it.
    ///
    /// Returns `false`, with nothing done, if the skeletons differ. Then the other store got more than linking creates,
    /// such as host functions that were added while its guest ran.
    ///
    /// # Errors
    ///
    /// Returns an error if the machine has no room. Then the store must not be used any more.
    pub fn adopt(&mut self, from: &Checkpoint) -> belljar_core::Result<bool> {
        ensure!(!self.is_running() && !self.ran, "code has already run in the store");
        if !from.skeleton.is_of(self) {
            return Ok(false);
        }
        if from.gc.is_some() {
            self.gc_base()?;
        }
        self.has_checkpoint = true;
        self.checkpoints = vec![self.record(from.number)];
        self.restore(from, &mut Discarded::default())?;
        Ok(true)
    }

    /// Rewinds the store to a checkpoint, whatever happened to it since. This restores contents and sizes of memories,
    /// globals, tables, segments, objects and counters, and removes what was added. Older handles are refused.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses an operation; then the store must not be used any more. It also returns
    /// an error, with nothing done, if the checkpoint is not one of this store, if the store has been rewound to an
    /// earlier one since, or if the guest runs.
    pub fn rewind(&mut self, to: &Checkpoint) -> belljar_core::Result<()> {
        let place = self.checkpoints.iter().rposition(|record| record.number == to.number);
        let place = place.context("the store cannot be rewound to this checkpoint: it is another store's, or this one was rewound further since")?;
        ensure!(!self.is_running(), "the guest is running: a store can only be rewound while nothing runs");
        if place + 1 < self.checkpoints.len() {
            self.monitor.mark_label_changed();
            self.checkpoints.truncate(place + 1);
        }
        let mut gone = Discarded::default();
        let skeleton = &to.skeleton;
        let takes_away = self.entities.host_funcs.len() > skeleton.host_funcs.len()
            || self.entities.instances.len() > skeleton.modules.len();
        let done = if takes_away {
            let monitor = self.monitor.clone();
            monitor.with_walks_blocked(|| {
                sampling::drain();
                self.restore(to, &mut gone)
            })
        } else {
            self.restore(to, &mut gone)
        };
        // Only now, as destructors of the embedder may access the store.
        drop(gone);
        done
    }

    /// Returns whether the store started from this checkpoint or can be rewound to it: everything that existed there
    /// exists now.
    pub fn has_been_at(&self, checkpoint: &Checkpoint) -> bool {
        self.checkpoints.iter().any(|record| record.number == checkpoint.number)
    }

    /// Sets the epoch deadline to the distance that it had at a checkpoint, since epochs advance while nothing runs.
    pub fn restart_epochs(&mut self, of: &Checkpoint) {
        self.set_epoch_deadline(of.epoch_left);
    }

    fn record(&self, number: u64) -> CheckpointRecord {
        CheckpointRecord { number, label: self.monitor.own_label(), group: self.limit_group().cloned() }
    }

    /// Restores the state of `to`, which is the last of `checkpoints`.
    fn restore(&mut self, to: &Checkpoint, gone: &mut Discarded) -> belljar_core::Result<()> {
        let skeleton = &to.skeleton;
        // Then their ids may be assigned to other types.
        let types_go = self.entities.instances.len() > skeleton.modules.len()
            || self.entities.host_types.len() > to.host_types.len();
        self.id = StoreId::next();
        self.pending = None;
        self.apart.forget_suspended();
        self.uncaught = None;
        self.heap.roots.end_all();
        self.entities.instances.truncate(to.segments.len());
        for (instance, segments) in self.entities.instances.iter_mut().zip(&to.segments) {
            instance.segments.clone_from(segments);
        }
        self.entities.memories.truncate(to.memories.len());
        for (i, memory) in to.memories.iter().enumerate() {
            let AnyMemory::Own(own) = &mut self.entities.memories[i].memory else { continue };
            if self.ran {
                own.touch();
            }
            own.rewind(memory).with_context(|| format!("memory {i} could not be rewound"))?;
        }
        self.set_untouched();
        self.entities.tables.truncate(skeleton.tables.len());
        self.entities.globals.truncate(skeleton.globals.len());
        self.entities.tags.truncate(skeleton.tags.len());
        self.region.rewind(&to.region)?;
        if let Some(gc) = self.heap.abandoned.take() {
            self.heap.gc = Some(*gc);
        }
        match &to.gc {
            Some(gc) => {
                gone.values = self.rewind_gc(gc);
                if types_go {
                    self.gc()?.shapes.clear();
                }
            }
            None => {
                self.heap.gc = None;
                gone.values = std::mem::take(&mut self.entities.externs);
            }
        }
        // After the region, whose objects name them.
        gone.host_funcs = self.entities.host_funcs.split_off(skeleton.host_funcs.len());
        self.entities.host_objects.truncate(skeleton.host_funcs.len());
        if self.entities.host_types.len() != to.host_types.len() {
            self.entities.host_types.clone_from(&to.host_types);
        }
        self.host.host_caller_context =
            skeleton.host_caller_context().map(|offset| self.region.state_base() + offset);
        for memory in 0..self.entities.memories.len() {
            self.publish_memory(memory);
        }
        self.set_fuel(to.fuel);
        if self.limits.quota.as_ref().map(Arc::as_ptr) != to.quota.as_ref().map(Arc::as_ptr) {
            self.keep_quota(to.quota.clone());
        }
        self.restart_epochs(to);
        self.context_mut().pending = pending::NONE;
        self.killed = None;
        self.host.scratch = Default::default();
        self.update_is_special();
        let group = self.checkpoints.last().and_then(|record| record.group.as_ref());
        if self.limit_group().map(Arc::as_ptr) == group.map(Arc::as_ptr) {
            self.commit_group();
        } else {
            self.set_limit_group(group.cloned());
        }
        let label = self.checkpoints.last().and_then(|record| record.label.as_ref());
        self.monitor.reset(self.id, to.segments.len(), label, self.runtime.notes_host_calls());
        self.publish_memory_size();
        self.commit_memory();
        self.limits.refused = None;
        Ok(())
    }

    /// Records that nothing has run since the state of its memories was established. The next run checks everything.
    fn set_untouched(&mut self) {
        self.ran = false;
        self.ready = NOT_READY;
    }

    /// Compares the store, byte by byte, with a checkpoint.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first difference.
    pub fn verify(&self, was: &Checkpoint) -> belljar_core::Result<()> {
        ensure!(
            self.checkpoints.last().is_some_and(|record| record.number == was.number),
            "the store was rewound to another checkpoint"
        );
        ensure!(was.skeleton.is_of(self), "it has more or fewer entities than it had");
        for (i, memory) in was.memories.iter().enumerate() {
            let now = self.memory_data(i);
            let length = memory.length();
            ensure!(now.len() == length, "memory {i} has {} bytes, and had {length}", now.len());
            if let Some(at) = memory.first_difference(now) {
                belljar_core::bail!("memory {i} differs from {at:#x} on");
            }
        }
        let instances = self.entities.instances.iter().map(|instance| &instance.segments);
        ensure!(instances.eq(&was.segments), "its element segments differ");
        self.region.verify(&was.region)?;
        match (&self.heap.gc, &was.gc) {
            (Some(gc), Some(was)) => gc.verify(was)?,
            (None, None) => {}
            _ => belljar_core::bail!("it has a heap of objects and had none, or vice versa"),
        }
        ensure!(self.fuel() == was.fuel, "it has {} units of fuel, and had {}", self.fuel(), was.fuel);
        ensure!(
            self.killed.is_none() && self.pending.is_none(),
            "an exit or a kill of the last run is pending"
        );
        Ok(())
    }
}

impl<T: 'static> StoreInner<T> {
    /// Rewinds the store to a checkpoint, and restores the callbacks for growth and epochs that it had then.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StoreCore::rewind`].
    pub fn rewind(&mut self, to: &Checkpoint) -> belljar_core::Result<()> {
        self.core_mut().rewind(to)?;
        self.restore_callbacks();
        Ok(())
    }
}
