//! Descriptions of memory accesses that trapped.

use crate::fault_hint::FaultHint;
use belljar_core::{ByteCount, PageCount, WASM_PAGE_SIZE};
use belljar_vm::{Fault, FaultAddress, SegmentPart};
use std::fmt;

/// The memory access that trapped. An [`crate::Error`] holds it beside [`crate::Trap::MemoryOutOfBounds`], and its message
/// continues that of the trap:
///
/// ```
/// # fn main() -> belljar::Result<()> {
/// use belljar::{Engine, Instance, MemoryFault, Module, Store};
/// let engine = Engine::default();
/// let wat = r#"(module (memory 17) (func (export "f") (drop (i32.load (i32.const 0x41414141)))))"#;
/// let module = Module::new(&engine, wat)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let error = instance.get_typed_func::<(), ()>(&mut store, "f")?.call(&mut store, ()).unwrap_err();
/// let fault = error.downcast_ref::<MemoryFault>().unwrap();
/// let expected = "4 bytes at 0x41414141, memory 0 is 17 pages (1088 KiB); \
///     the address reads as the text \"AAAA\": was text written over a pointer?";
/// assert_eq!(fault.to_string(), expected);
/// # Ok(())
/// # }
/// ```
///
/// The last clause appears if an address far out of bounds matches a pattern: text, the fill bytes of debug allocators,
/// a negative number, or an exhausted guest stack.
/// number, or a guest's stack that was used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryFault {
    pub(crate) fault: Fault,
    pub(crate) hint: Option<FaultHint>,
}

impl MemoryFault {
    /// Returns the address at which the access began. If a load or store began at or crossed the memory's end, the
    /// result is the end, because the processor does not report where the access began. `None` if only the result of a
    /// comparison is left of the address.
    pub fn address(&self) -> Option<u64> {
        match self.fault.address {
            FaultAddress::Start(address) | FaultAddress::End(address) => Some(address),
            FaultAddress::Unknown => None,
        }
    }

    /// Returns the size of the access in bytes, if it is known.
    pub fn access_size(&self) -> Option<u64> {
        self.fault.length
    }

    /// Returns the memory's size in bytes when the access trapped.
    pub fn memory_size(&self) -> u64 {
        self.fault.memory_size
    }

    /// Returns the memory's index, if it is known, in the module of the innermost function or in the module that was
    /// being instantiated.
    pub fn memory_index(&self) -> Option<u32> {
        self.fault.memory.map(|memory| memory.0)
    }

    /// Returns the index of the data segment that was being copied, by `memory.init` or at instantiation. If the bytes
    /// do not lie within the segment, that was the reason for the trap.
    pub fn data_segment(&self) -> Option<u32> {
        self.fault.source.map(|source| source.segment.0)
    }

    /// Returns the part of a data segment that was to be copied, if it exceeds the segment.
    fn missing_source(&self) -> Option<SegmentPart> {
        let length = self.fault.length?;
        self.fault.source.filter(|source| source.start.saturating_add(length) > source.size)
    }

    fn write_access(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(length) = self.fault.length {
            write!(f, "{} ", ByteCount(length))?;
        }
        if let Some(segment) = self.data_segment() {
            write!(f, "of data segment {segment} ")?;
        }
        match self.fault.address {
            FaultAddress::Start(address) => write!(f, "at {address:#x}"),
            FaultAddress::End(address) => write!(f, "at or across the end at {address:#x}"),
            FaultAddress::Unknown => f.write_str("at an unknown address"),
        }
    }
}

impl fmt::Display for MemoryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(SegmentPart { segment, start, size }) = self.missing_source() {
            let [length, has] = ByteCount::in_one_unit([self.fault.length.unwrap_or_default(), size]);
            write!(f, "{length} at {start:#x} of data segment {}, which ", segment.0)?;
            return match size {
                0 => f.write_str("is dropped or empty"),
                _ => write!(f, "has {has}"),
            };
        }
        self.write_access(f)?;
        match self.memory_index() {
            Some(index) => write!(f, ", memory {index}")?,
            None => f.write_str(", the memory")?,
        }
        let size = self.memory_size();
        write!(f, " is {} ({})", PageCount(size / WASM_PAGE_SIZE), ByteCount(size))?;
        match self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for MemoryFault {}
