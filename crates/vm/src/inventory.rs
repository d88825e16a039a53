//! Lists what a store contains, for reports about a guest that has stopped.

use crate::loaded::LoadedModule;
use crate::recorded_stack::{RawFrame, RawStack};
use crate::store::StoreCore;
use crate::store_memory::AnyMemory;
use crate::walk::Start;
use belljar_core::InstanceId;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

impl StoreCore {
    /// Returns the guest frames below the caller; none if no guest is waiting for it.
    pub fn guest_stack(&self) -> RawStack {
        self.record_stack(Start::AtExit)
    }

    /// Returns the instances that a frame may belong to, in order. Code does not identify the instance that it runs
    /// for; the result is certain only if there is one.
    pub fn instances_of(&self, frame: &RawFrame) -> impl Iterator<Item = InstanceId> + '_ {
        let loaded = frame.module().and_then(|owner| owner.downcast::<LoadedModule>().ok());
        let same =
            move |module: &Arc<LoadedModule>| loaded.as_ref().is_some_and(|it| Arc::ptr_eq(it, module));
        let numbered = self.entities.instances.iter().enumerate();
        numbered.filter(move |(_, i)| same(i.module())).map(|(i, _)| InstanceId::new(i))
    }

    /// Returns the memories of an instance, by index, as numbers in the store.
    pub fn instance_memories(&self, id: InstanceId) -> &[u32] {
        &self.instance(id).spaces().memories
    }

    /// Returns the globals of an instance, by index, as numbers in the store.
    pub fn instance_globals(&self, id: InstanceId) -> &[u32] {
        &self.instance(id).spaces().globals
    }

    /// Returns the number of memories, including shared ones.
    pub fn memory_count(&self) -> usize {
        self.entities.memories.len()
    }

    /// Returns the number of globals, including the host's.
    pub fn global_count(&self) -> usize {
        self.entities.globals.len()
    }

    /// Returns a memory's size in bytes. A shared memory may have grown since.
    pub fn memory_size(&self, memory: usize) -> usize {
        self.entities.memories[memory].memory.length()
    }

    /// Returns the ranges of a memory, in order, outside of which all bytes are zero. For shared memories, and if the
    /// kernel does not list written pages, it is the whole memory.
    pub fn memory_in_use(&self, memory: usize) -> Vec<Range<usize>> {
        match &self.entities.memories[memory].memory {
            AnyMemory::Own(memory) => memory.in_use(),
            AnyMemory::Shared(memory) => iter::once(0..memory.length()).collect(),
        }
    }
}
