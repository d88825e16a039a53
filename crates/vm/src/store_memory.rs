//! Memories of a store: its own, and those that it shares with other stores.

use crate::machine::MemorySpace;
use crate::memory::LinearMemory;
use crate::shared_memory::SharedMemory;
use crate::vm_ptr::VmPtr;
use belljar_abi::MemoryDef;
use belljar_core::MemoryType;

/// A memory of a store, with what the store records about it. Like the store, it has cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct StoreMemory {
    pub(crate) memory: AnyMemory,
    /// Where code reads its address and size.
    pub(crate) def: VmPtr<MemoryDef>,
}

/// A memory, owned or shared.
#[derive(Debug)]
pub(crate) enum AnyMemory {
    Own(LinearMemory),
    Shared(SharedMemory),
}

impl AnyMemory {
    /// Returns the address of byte 0.
    pub(crate) fn base(&self) -> usize {
        match self {
            Self::Own(memory) => memory.base(),
            Self::Shared(memory) => memory.base(),
        }
    }

    /// Returns the number of accessible bytes. A shared memory may have grown since.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Own(memory) => memory.length(),
            Self::Shared(memory) => memory.length(),
        }
    }

    /// Returns the declared type.
    pub(crate) fn ty(&self) -> MemoryType {
        match self {
            Self::Own(memory) => memory.ty(),
            Self::Shared(memory) => memory.ty(),
        }
    }

    /// Returns whether code without checks may use the memory.
    pub(crate) fn is_reserved(&self) -> bool {
        match self {
            Self::Own(memory) => memory.is_reserved(),
            Self::Shared(memory) => memory.is_reserved(),
        }
    }

    /// Returns whether an access that faulted at this address belongs to this memory.
    pub(crate) fn holds(&self, address: usize) -> bool {
        match self {
            Self::Own(memory) => memory.holds(address),
            Self::Shared(memory) => memory.holds(address),
        }
    }

    /// Returns the memory's address space. Async-signal-safe.
    pub(crate) fn space(&self) -> MemorySpace {
        match self {
            Self::Own(memory) => memory.space(),
            Self::Shared(memory) => memory.space(),
        }
    }

    /// Notes that the contents may change from now on. A shared memory always assumes that.
    pub(crate) fn touch(&mut self) {
        if let Self::Own(memory) = self {
            memory.touch();
        }
    }

    /// Returns the shared memory, if it is one.
    pub(crate) fn shared(&self) -> Option<&SharedMemory> {
        match self {
            Self::Own(_) => None,
            Self::Shared(memory) => Some(memory),
        }
    }
}
