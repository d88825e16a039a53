//! Going back: a store is made again what it was at a quiet moment.
//!
//! In: a store whose guest does not run ([`StoreCore::checkpoint`]). Out: a [`Checkpoint`], to which the same store goes back as
//! often as is wanted ([`StoreCore::rewind`]), whatever became of it in between. Never: a handle that outlives what it stands for.
//!
//! What guests can change lies in ranges of bytes that hold no address: the state half of the region, the tables, linear memories,
//! the heap of objects. They are put back as they were; what came later is cleared, its room included. Memories go back by the
//! pages that were written: their contents at the checkpoint are a file in memory, which they map copy-on-write from then on.
//!
//! The store has another [`StoreId`] afterwards, so that handles of before are refused: what they stand for may be gone.

use crate::externs::Externs;
use crate::gc::GcCheckpoint;
use crate::host::HostFunc;
use crate::memory::MemoryCheckpoint;
use crate::quota::Quota;
use crate::store::{StoreCore, StoreId};
use crate::store_memory::AnyMemory;
use crate::store_region::RegionCheckpoint;
use anyhow::{Context, ensure};
use belljar_abi::pending;
use std::sync::Arc;

/// What a store was at one moment.
#[derive(Debug)]
pub struct Checkpoint {
    /// The store, by the number that it keeps.
    store: u64,
    region: RegionCheckpoint,
    memories: Vec<MemoryCheckpoint>,
    gc: Option<GcCheckpoint>,
    /// Evaluated element segments of the instances.
    segments: Vec<Vec<Option<Box<[u32]>>>>,
    tables: usize,
    globals: usize,
    tags: usize,
    host_funcs: usize,
    host_types: usize,
    bridge: Option<usize>,
    fuel: u64,
    quota: Option<Arc<Quota>>,
    epoch_deadline: u64,
}

/// What the embedder gave the store since.
#[derive(Default)]
struct Gone {
    host_funcs: Vec<Arc<HostFunc>>,
    values: Externs,
}

impl StoreCore {
    /// Notes what the store is now. From now on its memories are cheap to put back.
    ///
    /// # Errors
    ///
    /// Where its guest runs or was killed; where it has a memory that others share, which cannot go back; where the machine has
    /// no room for a copy.
    pub fn checkpoint(&mut self) -> anyhow::Result<Checkpoint> {
        ensure!(!self.is_running(), "the guest runs: a store can be noted only when nothing does");
        ensure!(self.killed.is_none(), "the guest was killed, perhaps in the middle of something");
        // All objects are then in one place, and what nobody can reach is no part of it.
        self.collect(true)?;
        let mut memories = Vec::with_capacity(self.memories.len());
        for (i, memory) in self.memories.iter_mut().enumerate() {
            let AnyMemory::Own(memory) = &mut memory.memory else {
                anyhow::bail!("memory {i} of the store is shared with others: it cannot be put back");
            };
            if self.ran {
                memory.touch();
            }
            memories.push(memory.checkpoint().with_context(|| format!("no room to note memory {i}"))?);
        }
        self.ran = false;
        let context = self.context.get_mut();
        let epoch_deadline = context.epoch_deadline;
        Ok(Checkpoint {
            store: self.watched().id(),
            region: self.region.checkpoint(),
            memories,
            gc: self.gc.as_ref().map(|gc| gc.checkpoint(&self.externs)),
            segments: self.instances.iter().map(|instance| instance.segments.clone()).collect(),
            tables: self.tables.len(),
            globals: self.globals.len(),
            tags: self.tags.len(),
            host_funcs: self.host_funcs.len(),
            host_types: self.host_types.len(),
            bridge: self.bridge,
            fuel: self.fuel(),
            quota: self.quota.clone(),
            epoch_deadline,
        })
    }

    /// Makes the store again what it was, whatever has become of it since: contents and sizes of memories, globals, tables,
    /// segments, objects, counters; what was added since is gone. Handles of before are refused.
    ///
    /// # Errors
    ///
    /// Where the kernel says no: then the store is not to be used any more. Where the checkpoint is another store's, or the guest
    /// runs: then nothing was done.
    pub fn rewind(&mut self, to: &Checkpoint) -> anyhow::Result<()> {
        ensure!(to.store == self.watched().id(), "the checkpoint is another store's");
        ensure!(!self.is_running(), "the guest runs: a store can go back only when nothing does");
        let mut gone = Gone::default();
        let takes_away = self.host_funcs.len() > to.host_funcs || self.instances.len() > to.segments.len();
        let done = if takes_away {
            let watched = self.watched.clone();
            watched.taking_away(|| self.put_back(to, &mut gone))
        } else {
            self.put_back(to, &mut gone)
        };
        // Only now, as destructors of the embedder's may look at the store.
        drop(gone);
        done
    }

    fn put_back(&mut self, to: &Checkpoint, gone: &mut Gone) -> anyhow::Result<()> {
        self.id = StoreId::next();
        self.pending = None;
        self.roots.end_all();
        self.instances.truncate(to.segments.len());
        for (instance, segments) in self.instances.iter_mut().zip(&to.segments) {
            instance.segments.clone_from(segments);
        }
        self.memories.truncate(to.memories.len());
        for (i, memory) in to.memories.iter().enumerate() {
            let AnyMemory::Own(own) = &mut self.memories[i].memory else { continue };
            if self.ran {
                own.touch();
            }
            own.rewind(memory).with_context(|| format!("memory {i} could not be put back"))?;
        }
        self.ran = false;
        self.tables.truncate(to.tables);
        self.globals.truncate(to.globals);
        self.tags.truncate(to.tags);
        self.region.rewind(&to.region)?;
        match &to.gc {
            Some(gc) => gone.values = self.rewind_gc(gc),
            None => {
                self.gc = None;
                gone.values = std::mem::take(&mut self.externs);
            }
        }
        // After the region, whose objects name them.
        gone.host_funcs = self.host_funcs.split_off(to.host_funcs);
        self.host_types.truncate(to.host_types);
        self.bridge = to.bridge;
        for memory in 0..self.memories.len() {
            self.publish_memory(memory);
        }
        self.set_fuel(to.fuel);
        if self.quota.as_ref().map(Arc::as_ptr) != to.quota.as_ref().map(Arc::as_ptr) {
            self.keep_quota(to.quota.clone());
        }
        let context = self.context.get_mut();
        context.epoch_deadline = to.epoch_deadline;
        context.pending = pending::NONE;
        self.killed = None;
        self.note_special();
        self.watched.revive(self.id, to.segments.len());
        self.note_memory();
        self.settle_memory();
        self.refused = None;
        Ok(())
    }
}
