//! What modules of adapters import.

use super::runtime::RuntimeFunc;
use crate::plan::{CoreExport, CoreFunc, InstanceIndex};

/// What a module of adapters imports.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum AdapterImport {
    /// A function of the core code.
    Func(CoreFunc),
    /// A memory.
    Memory(CoreExport),
    /// The global with an instance's flags.
    Flags(InstanceIndex),
    /// A function of the runtime.
    Runtime(RuntimeFunc),
}

/// The shape of a memory, as far as an import has to state it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryShape {
    /// Whether addresses are 64 bits wide.
    pub is_64: bool,
    /// The base-2 logarithm of the page size.
    pub page_size_log2: u32,
    /// Whether threads share it.
    pub is_shared: bool,
}
