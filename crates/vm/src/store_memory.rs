//! Memories as a store has them: its own, and those that it shares with others.

use crate::machine::MemorySpace;
use crate::memory::LinearMemory;
use crate::shared_memory::SharedMemory;
use crate::vm_ptr::VmPtr;
use belljar_abi::MemoryDef;
use belljar_core::MemoryType;

/// A memory of a store, with what the store notes about it. On lines of its own, as the store is.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct StoreMemory {
    pub(crate) memory: AnyMemory,
    /// Where code reads its place and size.
    pub(crate) def: VmPtr<MemoryDef>,
}

/// A memory, whoever owns it.
#[derive(Debug)]
pub(crate) enum AnyMemory {
    Own(LinearMemory),
    Shared(SharedMemory),
}

impl AnyMemory {
    /// Address of byte 0.
    pub(crate) fn base(&self) -> usize {
        match self {
            Self::Own(memory) => memory.base(),
            Self::Shared(memory) => memory.base(),
        }
    }

    /// Accessible bytes. Those of a shared memory may have become more since.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Own(memory) => memory.length(),
            Self::Shared(memory) => memory.length(),
        }
    }

    /// Its declared type.
    pub(crate) fn ty(&self) -> MemoryType {
        match self {
            Self::Own(memory) => memory.ty(),
            Self::Shared(memory) => memory.ty(),
        }
    }

    /// Whether code without checks may use it.
    pub(crate) fn is_reserved(&self) -> bool {
        match self {
            Self::Own(memory) => memory.is_reserved(),
            Self::Shared(memory) => memory.is_reserved(),
        }
    }

    /// Whether an access that faulted here was one to this memory, by the address that the guest gave.
    pub(crate) fn holds(&self, address: usize) -> bool {
        match self {
            Self::Own(memory) => memory.holds(address),
            Self::Shared(memory) => memory.holds(address),
        }
    }

    /// Its address space. Async-signal-safe.
    pub(crate) fn space(&self) -> MemorySpace {
        match self {
            Self::Own(memory) => memory.space(),
            Self::Shared(memory) => memory.space(),
        }
    }

    /// Notes that its contents may change from now on. A shared memory takes that for granted.
    pub(crate) fn touch(&mut self) {
        if let Self::Own(memory) = self {
            memory.touch();
        }
    }

    /// The memory that it shares with others, if it is one.
    pub(crate) fn shared(&self) -> Option<&SharedMemory> {
        match self {
            Self::Own(_) => None,
            Self::Shared(memory) => Some(memory),
        }
    }
}
