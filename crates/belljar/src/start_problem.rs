//! Properties of a valid module that make every instantiation fail, known before it is compiled or started.
//!
//! In: a described module. Out: a [`StartProblem`] for each such property. Never: anything that depends on imports,
//! limits or free memory.

use belljar_core::{ByteCount, Counted, MemoryIndex, TableIndex};
use belljar_module::{ConstExpr, Module, SegmentMode};
use belljar_vm::TABLE_LIMIT;
use std::fmt;

/// The size in bytes from which on a memory does not fit into any process: the user address space of x86-64.
const ADDRESS_SPACE: u64 = 1 << 47;

/// A property of a valid module that makes every instantiation fail. Validation permits it, so
/// [`Module::new`](crate::Module::new) accepts the module.
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
    /// A table has more elements than this implementation allows.
    LargeTable {
        /// The table's index.
        table: u32,
        /// Its minimum number of elements.
        elements: u64,
    },
    /// A memory has more bytes than a process's address space.
    LargeMemory {
        /// The memory's index.
        memory: u32,
        /// Its minimum number of pages.
        pages: u64,
    },
    /// An active data segment exceeds its memory, which traps.
    DataOutOfBounds {
        /// The data segment's index.
        segment: u32,
        /// Its start in the memory, in bytes.
        offset: u64,
        /// Its length in bytes.
        length: u64,
        /// The memory's size in bytes.
        size: u64,
    },
    /// An active element segment exceeds its table, which traps.
    ElementsOutOfBounds {
        /// The element segment's index.
        segment: u32,
        /// Its start in the table, as an index.
        offset: u64,
        /// Its number of elements.
        length: u64,
        /// The table's number of elements.
        size: u64,
    },
}

impl fmt::Display for StartProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LargeTable { table, elements } => write!(
                f,
                "table {table} starts with {elements} elements, but this implementation allows only {TABLE_LIMIT}"
            ),
            Self::LargeMemory { memory, pages } => write!(
                f,
                "memory {memory} starts with {pages} pages, but the address space of a process has only {} TiB",
                ADDRESS_SPACE >> 40
            ),
            Self::DataOutOfBounds { segment, offset, length, size } => {
                let [length, size] = ByteCount::in_one_unit([length, size]);
                write!(
                    f,
                    "data segment {segment} has {length} for {offset:#x}, but its memory starts with only {size}"
                )
            }
            Self::ElementsOutOfBounds { segment, offset, length, size } => write!(
                f,
                "element segment {segment} has {} for index {offset}, but its table starts with only {size}",
                Counted(length, "element")
            ),
        }
    }
}

/// Returns all problems of a module, in the order in which instantiation would encounter them.
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

/// Returns the start of a segment that certainly does not fit.
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
        // A memory whose size overflows a number of bytes is a problem of its own.
        let size = ty.minimum_bytes().filter(|_| is_own(data.memory))?;
        let offset = outside(&data.offset, length, size)?;
        Some(StartProblem::DataOutOfBounds { segment: data.index.0, offset, length, size })
    })
}
