//! Describes an access outside a memory after a guest has trapped.
//!
//! In: an address or nothing, and the guest's stack. Out: a [`Fault`]. Never: work before a guest has trapped.

use crate::fault::{Fault, FaultAddress};
use crate::loaded::LoadedModule;
use crate::machine::FaultPlace;
use crate::recorded_stack::{RawFrame, RawStack};
use crate::store::StoreCore;
use crate::vm_ptr::VmPtr;
use belljar_abi::StoreContext;
use belljar_abi::gc::NULL_PAGE;
use belljar_core::{MemoryIndex, WasmPc};
use std::sync::Arc;

impl StoreCore {
    /// Describes the access of the innermost instruction of a stack. `address` is where the machine faulted; `None` if
    /// the instruction compared the address with the bound.
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

    /// Returns the offset of an address in the memory whose reservation contains it, and that memory's size.
    fn reserved_memory_at(&self, address: usize) -> Option<(u64, u64)> {
        let memory = &self.entities.memories.iter().find(|m| m.memory.holds(address))?.memory;
        Some(((address - memory.base()) as u64, memory.length() as u64))
    }

    /// Returns the size of a memory of a module. Code does not identify the instance that it runs for: if the store has
    /// several and their memories differ in size, the result is `None`.
    fn size_of_memory(&self, loaded: &Arc<LoadedModule>, memory: MemoryIndex) -> Option<u64> {
        let instances = self.entities.instances.iter().filter(|i| Arc::ptr_eq(i.module(), loaded));
        let mut sizes = instances.map(|i| self.entities.memories[i.memory(memory)].memory.length() as u64);
        let first = sizes.next()?;
        sizes.all(|size| size == first).then_some(first)
    }
}

/// Returns where an access of a store's guest faulted. Async-signal-safe.
///
/// # Safety
///
/// The context is that of a store whose guest this thread executes (STORE-EXCLUSIVE, STORE-PINNED).
pub(crate) unsafe fn fault_place(context: VmPtr<StoreContext>, address: usize) -> FaultPlace {
    // SAFETY: the caller's promise.
    let core = unsafe { StoreCore::of_context(context).as_ref() };
    let null_page = core.heap.gc.as_ref().map(|gc| gc.heap.base()..gc.heap.base() + NULL_PAGE as usize);
    FaultPlace::of(address, core.entities.memories.iter().map(|memory| memory.memory.space()), null_page)
}

/// Returns the module and the position of a frame's instruction.
fn innermost(frame: &RawFrame) -> Option<(Arc<LoadedModule>, WasmPc)> {
    let loaded = frame.module()?.downcast::<LoadedModule>().ok()?;
    let pc = *frame.code().tables().positions_at(frame.offset()).first()?;
    Some((loaded, pc))
}
