//! What a store holds, for whoever describes a guest that has stopped.

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
    /// The guest frames below the caller; none if no guest is waiting for it.
    pub fn guest_stack(&self) -> RawStack {
        self.record_stack(Start::AtExit)
    }

    /// The instances that a frame may belong to, in order. Code does not say whose instance it runs for: the answer is certain
    /// where there is one.
    pub fn instances_of(&self, frame: &RawFrame) -> impl Iterator<Item = InstanceId> + '_ {
        let loaded = frame.module().and_then(|owner| owner.downcast::<LoadedModule>().ok());
        let same =
            move |module: &Arc<LoadedModule>| loaded.as_ref().is_some_and(|it| Arc::ptr_eq(it, module));
        let numbered = self.entities.instances.iter().enumerate();
        numbered.filter(move |(_, i)| same(i.module())).map(|(i, _)| InstanceId::new(i))
    }

    /// The memories of an instance, by index, as numbers in the store.
    pub fn instance_memories(&self, id: InstanceId) -> &[u32] {
        &self.instance(id).spaces().memories
    }

    /// The globals of an instance, by index, as numbers in the store.
    pub fn instance_globals(&self, id: InstanceId) -> &[u32] {
        &self.instance(id).spaces().globals
    }

    /// Number of memories, shared ones included.
    pub fn memory_count(&self) -> usize {
        self.entities.memories.len()
    }

    /// Number of globals, the host's included.
    pub fn global_count(&self) -> usize {
        self.entities.globals.len()
    }

    /// A memory's size in bytes. That of a shared memory may be larger by now.
    pub fn memory_size(&self, memory: usize) -> usize {
        self.entities.memories[memory].memory.length()
    }

    /// The ranges of a memory, in order, outside of which all bytes are zero. Where the kernel does not say which pages were
    /// written, and of shared memories, it is the whole.
    pub fn memory_in_use(&self, memory: usize) -> Vec<Range<usize>> {
        match &self.entities.memories[memory].memory {
            AnyMemory::Own(memory) => memory.in_use(),
            AnyMemory::Shared(memory) => iter::once(0..memory.length()).collect(),
        }
    }
}
