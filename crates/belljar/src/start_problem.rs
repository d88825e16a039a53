//! What a valid module asks for that no store can give it: known before anything is compiled or started.
//!
//! In: a described module. Out: one [`StartProblem`] for each such thing. Never: what depends on imports, limits or the machine's
//! free memory.

use belljar_core::{ByteCount, MemoryIndex, TableIndex};
use belljar_module::{ConstExpr, Module, SegmentMode};
use belljar_vm::TABLE_LIMIT;
use std::fmt;

/// Bytes from which on no process has room for a memory: the addresses that it may use on x86-64.
const ADDRESS_SPACE: u64 = 1 << 47;

/// Something in a valid module for which every instantiation fails. Validation has no rule against it, and so
/// [`Module::new`](crate::Module::new) takes the module.
///
/// ```
/// use belljar::{Engine, Instance, Module, StartProblem, Store};
/// let engine = Engine::default();
/// let module = Module::new(&engine, "(module (table 10000001 funcref))")?;
/// assert_eq!(module.start_problems(), [StartProblem::LargeTable { table: 0, elements: 10_000_001 }]);
/// assert!(Instance::new(&mut Store::new(&engine, ()), &module, &[]).is_err());
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StartProblem {
    /// A table has more elements than any may have here.
    LargeTable {
        /// The table's index.
        table: u32,
        /// Elements that it starts with.
        elements: u64,
    },
    /// A memory has more bytes than a process has addresses.
    LargeMemory {
        /// The memory's index.
        memory: u32,
        /// Pages that it starts with.
        pages: u64,
    },
    /// An active data segment ends outside its memory: a trap.
    DataOutOfBounds {
        /// The data segment's index.
        segment: u32,
        /// Where in the memory it begins.
        offset: u64,
        /// Bytes that it has.
        length: u64,
        /// Bytes that the memory has.
        size: u64,
    },
    /// An active element segment ends outside its table: a trap.
    ElementsOutOfBounds {
        /// The element segment's index.
        segment: u32,
        /// Where in the table it begins.
        offset: u64,
        /// Elements that it has.
        length: u64,
        /// Elements that the table has.
        size: u64,
    },
}

impl fmt::Display for StartProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LargeTable { table, elements } => write!(
                f,
                "table {table} starts with {elements} elements, and this implementation allows {TABLE_LIMIT}"
            ),
            Self::LargeMemory { memory, pages } => write!(
                f,
                "memory {memory} starts with {pages} pages, and a process has addresses for {} TiB",
                ADDRESS_SPACE >> 40
            ),
            Self::DataOutOfBounds { segment, offset, length, size } => write!(
                f,
                "data segment {segment} has {length} bytes for {offset:#x}, and its memory starts with {}",
                ByteCount(size)
            ),
            Self::ElementsOutOfBounds { segment, offset, length, size } => write!(
                f,
                "element segment {segment} has {length} elements for place {offset}, and its table starts with {size}"
            ),
        }
    }
}

/// All problems of a module, in the order in which instantiation would meet them.
pub(crate) fn of(module: &Module) -> Vec<StartProblem> {
    let memories =
        (module.imported_memories()..module.memories().len()).filter_map(|i| large_memory(module, i));
    let tables = (module.imported_tables()..module.tables().len()).filter_map(|i| large_table(module, i));
    memories.chain(tables).chain(elements_outside(module)).chain(data_outside(module)).collect()
}

fn large_memory(module: &Module, memory: usize) -> Option<StartProblem> {
    let ty = module.memories()[memory];
    let fits = ty.minimum_bytes().is_some_and(|bytes| bytes <= ADDRESS_SPACE);
    (!fits).then_some(StartProblem::LargeMemory { memory: memory as u32, pages: ty.minimum() })
}

fn large_table(module: &Module, table: usize) -> Option<StartProblem> {
    let elements = module.tables()[table].minimum();
    (elements > TABLE_LIMIT).then_some(StartProblem::LargeTable { table: table as u32, elements })
}

/// Where a segment begins that does not fit for certain.
fn outside(offset: &ConstExpr, length: u64, size: u64) -> Option<u64> {
    let offset = offset.as_number()?;
    offset.checked_add(length).is_none_or(|end| end > size).then_some(offset)
}

fn elements_outside(module: &Module) -> impl Iterator<Item = StartProblem> + '_ {
    let is_own = |table: &TableIndex| table.index() >= module.imported_tables();
    module.elems().iter().enumerate().filter_map(move |(segment, elems)| {
        let SegmentMode::Active(table, offset) = &elems.mode else { return None };
        let (length, size) = (elems.items.len() as u64, module.tables()[table.index()].minimum());
        let offset = outside(offset, length, size).filter(|_| is_own(table))?;
        Some(StartProblem::ElementsOutOfBounds { segment: segment as u32, offset, length, size })
    })
}

fn data_outside(module: &Module) -> impl Iterator<Item = StartProblem> + '_ {
    let is_own = |memory: MemoryIndex| memory.index() >= module.imported_memories();
    module.active_data().iter().filter_map(move |data| {
        let (length, ty) = (data.bytes.len() as u64, module.memories()[data.memory.index()]);
        // One that is too large for a number of bytes is a problem of its own.
        let size = ty.minimum_bytes().filter(|_| is_own(data.memory))?;
        let offset = outside(&data.offset, length, size)?;
        Some(StartProblem::DataOutOfBounds { segment: data.index.0, offset, length, size })
    })
}
