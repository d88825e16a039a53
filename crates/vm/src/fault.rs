//! What is known of an access outside its memory, for the person who is told of it.
//!
//! In: what the trap left behind (a range, an address or nothing), and the guest's stack. Out: a [`Fault`].
//! Never: work before a guest has trapped.

use crate::loaded::LoadedModule;
use crate::store::StoreCore;
use crate::walk::{RawFrame, RawStack};
use belljar_core::{DataIndex, MemoryIndex, WasmPc};
use std::sync::Arc;

/// An access outside its memory, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The memory's index in the module whose code is innermost, or that was being instantiated.
    pub memory: Option<MemoryIndex>,
    /// The memory's size in bytes then.
    pub memory_size: u64,
    /// Where it was.
    pub address: FaultAddress,
    /// Bytes that were to be accessed.
    pub length: Option<u64>,
    /// Where the bytes were to come from, if that was a data segment.
    pub source: Option<SegmentPart>,
}

/// What is known of an access's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultAddress {
    /// It began here.
    Start(u64),
    /// It touched this byte, the first after the memory, and may have begun before it.
    End(u64),
    /// Code compared, and did not keep what with.
    Unknown,
}

/// Bytes of a data segment, from `start` on. Where they do not lie in the segment, that was the trap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentPart {
    /// The segment.
    pub segment: DataIndex,
    /// Offset of the first byte.
    pub start: u64,
    /// Bytes that the segment has; none once it is dropped.
    pub size: u64,
}

impl StoreCore {
    /// Describes an access of the instruction that the stack ends in. `address`: where the machine faulted; none
    /// if the instruction compared.
    pub(crate) fn describe_fault(&self, address: Option<usize>, stack: &RawStack) -> Option<Fault> {
        let innermost = stack.frames().first().and_then(innermost);
        let op = innermost.as_ref().and_then(|(loaded, pc)| loaded.module().memory_op_at(*pc));
        let length = op.and_then(|op| op.size());
        let memory = op.and_then(|op| op.memory());
        let (address, memory_size) = match address {
            Some(address) => {
                let (offset, size) = self.reserved_memory_at(address)?;
                let straddles = offset == size && length != Some(1);
                (if straddles { FaultAddress::End(offset) } else { FaultAddress::Start(offset) }, size)
            }
            None => (FaultAddress::Unknown, self.size_of_memory(&innermost?.0, memory?)?),
        };
        Some(Fault { memory, memory_size, address, length, source: None })
    }

    /// The offset of an address in the memory whose reservation holds it, and that memory's size.
    fn reserved_memory_at(&self, address: usize) -> Option<(u64, u64)> {
        let memory = &self.memories.iter().find(|m| m.memory.holds(address))?.memory;
        Some(((address - memory.base()) as u64, memory.length() as u64))
    }

    /// The size of a memory as the code of a module sees it. Code does not say whose instance it runs for: where
    /// the store has several and their memories differ, the answer is not known.
    fn size_of_memory(&self, loaded: &Arc<LoadedModule>, memory: MemoryIndex) -> Option<u64> {
        let instances = self.instances.iter().filter(|i| Arc::ptr_eq(i.module(), loaded));
        let mut sizes = instances.map(|i| self.memories[i.memory(memory)].memory.length() as u64);
        let first = sizes.next()?;
        sizes.all(|size| size == first).then_some(first)
    }
}

/// The module and the position of a frame's instruction.
fn innermost(frame: &RawFrame) -> Option<(Arc<LoadedModule>, WasmPc)> {
    let loaded = frame.module()?.downcast::<LoadedModule>().ok()?;
    let pc = *frame.code().tables().positions_at(frame.offset()).first()?;
    Some((loaded, pc))
}
