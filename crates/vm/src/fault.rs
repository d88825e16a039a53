//! What is known of an access outside its memory, for the person who is told of it.
//!
//! In: what the trap left behind, an address or nothing, and the guest's stack. Out: a [`Fault`]. Never: work
//! before a guest has trapped.

use crate::loaded::LoadedModule;
use crate::memory::RESERVATION;
use crate::store::StoreCore;
use crate::walk::RawStack;
use belljar_core::MemoryIndex;
use belljar_module::MemoryOp;

/// An access outside its memory, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The memory's index in the module whose code is innermost.
    pub memory: Option<MemoryIndex>,
    /// The memory's size in bytes then.
    pub memory_size: u64,
    /// The first byte that was not there: where the access began, or, if that is the memory's end, perhaps not
    /// its first byte.
    pub address: u64,
    /// Bytes that were to be accessed.
    pub length: Option<u64>,
}

impl StoreCore {
    /// Describes a fault of the code that the stack ends in.
    pub(crate) fn fault_at(&self, address: usize, stack: &RawStack) -> Option<Fault> {
        let memories = self.memories.iter().map(|m| &m.memory).filter(|m| m.is_reserved());
        let mut placed = memories.map(|m| (address.wrapping_sub(m.base()), m));
        let (offset, memory) = placed.find(|(offset, _)| *offset < RESERVATION)?;
        let op = memory_op(stack);
        Some(Fault {
            memory: op.and_then(|op| op.memory()),
            memory_size: memory.length() as u64,
            address: offset as u64,
            length: op.and_then(|op| op.size()),
        })
    }
}

/// What the innermost instruction does to a memory.
fn memory_op(stack: &RawStack) -> Option<MemoryOp> {
    let frame = stack.frames().first()?;
    let loaded = frame.module()?.downcast::<LoadedModule>().ok()?;
    let pc = *frame.code().tables().positions_at(frame.offset()).first()?;
    loaded.module().memory_op_at(pc)
}
