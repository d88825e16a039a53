//! The layout of an instance, computed from counts alone.

use crate::{CONTEXT_DISTANCE, ConstHeader, FuncObject, GuestTable, MemoryRef};
use belljar_core::{FuncIndex, GlobalIndex, MemoryIndex, TableIndex, TagIndex, TypeIndex};

/// The counts of a module's parts, on which the layout depends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LayoutCounts {
    /// Entries of the type section.
    pub types: u32,
    /// Imported functions.
    pub imported_funcs: u32,
    /// Functions whose reference may be taken.
    pub escaping_funcs: u32,
    /// Memories, imported ones included.
    pub memories: u32,
    /// Imported tables.
    pub imported_tables: u32,
    /// For each defined table, its size if that never changes.
    pub defined_tables: Vec<Option<u32>>,
    /// Imported globals.
    pub imported_globals: u32,
    /// Defined globals.
    pub defined_globals: u32,
    /// Tags, imported ones included.
    pub tags: u32,
    /// Data segments.
    pub data_segments: u32,
    /// Element segments.
    pub elem_segments: u32,
}

/// How code reaches a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TablePlace {
    /// The constant slot at this offset from the context holds the address of its [`GuestTable`].
    Imported(i32),
    /// Its [`GuestTable`] lies at this offset from the context.
    Growable(i32),
    /// Its elements lie at this offset from the context, and their number never changes.
    Fixed {
        /// Offset of element 0 from the context.
        elements: i32,
        /// The constant size.
        length: u32,
    },
}

/// Offsets from a context. Constants have negative offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmLayout {
    counts: LayoutCounts,
    const_size: usize,
    state_size: usize,
    imported_funcs: i32,
    memories: i32,
    imported_tables: i32,
    imported_globals: i32,
    types: i32,
    tags: i32,
    escaping_funcs: i32,
    dropped_data: i32,
    dropped_elem: i32,
    tables: Vec<TablePlace>,
    table_headers: Vec<i32>,
    globals: i32,
}

/// Bytes of a global's slot: enough for a vector.
pub const GLOBAL_SIZE: u32 = 16;

/// The most elements that all fixed tables of a module may have together. Further tables are stored like growable ones.
pub const FIXED_ELEMENTS: u32 = 4 << 20;

/// Bytes of an imported function's slot: code address, then context.
const IMPORTED_FUNC_SIZE: u32 = 16;

/// Allocates consecutive ranges.
struct Cursor(usize);

impl Cursor {
    fn take(&mut self, count: usize, size: usize, align: usize) -> usize {
        self.0 = self.0.next_multiple_of(align);
        let at = self.0;
        self.0 += count * size;
        at
    }
}

impl VmLayout {
    /// Computes the layout of a module with these counts. Returns `None` if it exceeds half of a store's region. No
    /// module that validation accepts does so if its fixed tables have at most [`FIXED_ELEMENTS`] elements in all.
    pub fn new(counts: LayoutCounts) -> Option<Self> {
        let mut consts = Cursor(size_of::<ConstHeader>());
        let below = |at: usize| at as i32 - CONTEXT_DISTANCE as i32;
        let imported_funcs =
            below(consts.take(counts.imported_funcs as usize, IMPORTED_FUNC_SIZE as usize, 8));
        let memories = below(consts.take(counts.memories as usize, size_of::<MemoryRef>(), 8));
        let imported_tables = below(consts.take(counts.imported_tables as usize, 8, 8));
        let imported_globals = below(consts.take(counts.imported_globals as usize, 8, 8));
        let types = below(consts.take(counts.types as usize, 4, 4));
        let tags = below(consts.take(counts.tags as usize, 4, 4));
        let escaping_funcs = below(consts.take(counts.escaping_funcs as usize, FuncObject::GUEST_SIZE, 16));

        let mut state = Cursor(0);
        let dropped_data = state.take(counts.data_segments as usize, 1, 1) as i32;
        let dropped_elem = state.take(counts.elem_segments as usize, 1, 1) as i32;
        let globals = state.take(counts.defined_globals as usize, GLOBAL_SIZE as usize, 16) as i32;
        let mut tables: Vec<TablePlace> = (0..counts.imported_tables as i32)
            .map(|i| TablePlace::Imported(imported_tables + i * 8))
            .collect();
        let headers = state.take(counts.defined_tables.len(), size_of::<GuestTable>(), 8) as i32;
        let table_headers: Vec<i32> = (0..counts.defined_tables.len() as i32)
            .map(|i| headers + i * size_of::<GuestTable>() as i32)
            .collect();
        for (size, header) in counts.defined_tables.iter().zip(&table_headers) {
            tables.push(match *size {
                Some(length) => {
                    if length as usize * 4 > CONTEXT_DISTANCE {
                        return None;
                    }
                    TablePlace::Fixed { elements: state.take(length as usize, 4, 16) as i32, length }
                }
                None => TablePlace::Growable(*header),
            });
        }
        let (const_size, state_size) = (consts.0.next_multiple_of(64), state.0.next_multiple_of(64));
        if const_size.max(state_size) > CONTEXT_DISTANCE / 2 {
            return None;
        }
        Some(Self {
            counts,
            const_size,
            state_size,
            imported_funcs,
            memories,
            imported_tables,
            imported_globals,
            types,
            tags,
            escaping_funcs,
            dropped_data,
            dropped_elem,
            tables,
            table_headers,
            globals,
        })
    }

    /// Returns the counts that this layout was computed from.
    pub fn counts(&self) -> &LayoutCounts {
        &self.counts
    }

    /// Returns the size of the constant block in bytes.
    pub fn const_size(&self) -> usize {
        self.const_size
    }

    /// Returns the size of the state block in bytes.
    pub fn state_size(&self) -> usize {
        self.state_size
    }

    /// Returns the offset of a field of the [`ConstHeader`], given by `offset_of!`.
    pub const fn header(field: usize) -> i32 {
        field as i32 - CONTEXT_DISTANCE as i32
    }

    /// Returns the offset of an imported function's code address. Its context follows 8 bytes later.
    pub fn imported_func(&self, func: FuncIndex) -> i32 {
        debug_assert!(func.0 < self.counts.imported_funcs);
        self.imported_funcs + (func.0 * IMPORTED_FUNC_SIZE) as i32
    }

    /// Returns the offset of a memory's [`MemoryRef`].
    pub fn memory(&self, memory: MemoryIndex) -> i32 {
        debug_assert!(memory.0 < self.counts.memories);
        self.memories + (memory.index() * size_of::<MemoryRef>()) as i32
    }

    /// Returns how code reaches a table.
    pub fn table(&self, table: TableIndex) -> TablePlace {
        self.tables[table.index()]
    }

    /// Returns the offset of a defined table's [`GuestTable`]. A fixed table has one too, for instances that import it.
    pub fn table_header(&self, table: TableIndex) -> i32 {
        self.table_headers[table.index() - self.counts.imported_tables as usize]
    }

    /// Returns the offset of the slot that holds the address of an imported global.
    pub fn imported_global(&self, global: GlobalIndex) -> i32 {
        debug_assert!(global.0 < self.counts.imported_globals);
        self.imported_globals + global.0 as i32 * 8
    }

    /// Returns the offset of a defined global's value. `global` counts imports too.
    pub fn defined_global(&self, global: GlobalIndex) -> i32 {
        debug_assert!(global.0 >= self.counts.imported_globals);
        self.globals + ((global.0 - self.counts.imported_globals) * GLOBAL_SIZE) as i32
    }

    /// Returns the offset of the canonical id of a type.
    pub fn type_id(&self, ty: TypeIndex) -> i32 {
        debug_assert!(ty.0 < self.counts.types);
        self.types + ty.0 as i32 * 4
    }

    /// Returns the offset of the store's id of a tag ([`belljar_core::TagId`]).
    pub fn tag_id(&self, tag: TagIndex) -> i32 {
        debug_assert!(tag.0 < self.counts.tags);
        self.tags + tag.0 as i32 * 4
    }

    /// Returns the offset of the function object of the `nth` escaping function.
    pub fn func_object(&self, nth: u32) -> i32 {
        debug_assert!(nth < self.counts.escaping_funcs);
        self.escaping_funcs + nth as i32 * FuncObject::GUEST_SIZE as i32
    }

    /// Returns the offset of the byte that says whether a data segment was dropped.
    pub fn dropped_data(&self, segment: u32) -> i32 {
        self.dropped_data + segment as i32
    }

    /// Returns the offset of the byte that says whether an element segment was dropped.
    pub fn dropped_elem(&self, segment: u32) -> i32 {
        self.dropped_elem + segment as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_overlap() {
        let layout = VmLayout::new(LayoutCounts {
            types: 3,
            imported_funcs: 2,
            escaping_funcs: 5,
            memories: 2,
            imported_tables: 1,
            defined_tables: vec![Some(10), None],
            imported_globals: 1,
            defined_globals: 3,
            tags: 2,
            data_segments: 3,
            elem_segments: 2,
        })
        .unwrap();
        assert_eq!(layout.func_object(0) % 16, 0);
        assert!(layout.type_id(TypeIndex(2)) + 4 <= layout.tag_id(TagIndex(0)));
        assert!(
            layout.func_object(4) + FuncObject::GUEST_SIZE as i32
                <= layout.const_size() as i32 - CONTEXT_DISTANCE as i32
        );
        assert_eq!(layout.defined_global(GlobalIndex(1)) % 16, 0);
        let TablePlace::Fixed { elements, length: 10 } = layout.table(TableIndex(1)) else { panic!() };
        let TablePlace::Growable(header) = layout.table(TableIndex(2)) else { panic!() };
        assert!(layout.table_header(TableIndex(1)) + 8 <= header && header + 8 <= elements);
        assert!(elements + 40 <= layout.state_size() as i32);
    }

    /// Returns the counts of a module that reaches every limit of validation at once. (Types of imports may add up to a
    /// million, and the smallest counts twice.)
    fn largest() -> LayoutCounts {
        LayoutCounts {
            types: 1_000_000,
            imported_funcs: 500_000,
            escaping_funcs: 1_000_000,
            memories: 100,
            imported_tables: 0,
            defined_tables: [vec![Some(1 << 20); 4], vec![None; 99_996]].concat(),
            imported_globals: 0,
            defined_globals: 1_000_000,
            tags: 1_000_000,
            data_segments: 100_000,
            elem_segments: 100_000,
        }
    }

    #[test]
    fn whatever_is_valid_fits() {
        let layout = VmLayout::new(largest()).unwrap();
        // With a block for each import that is a host function.
        let host_funcs = 500_000 * size_of::<FuncObject>().next_multiple_of(64);
        assert!(layout.const_size() + host_funcs < CONTEXT_DISTANCE);
        let (last, end) = (layout.func_object(999_999), layout.const_size() as i32 - CONTEXT_DISTANCE as i32);
        assert!(last + FuncObject::GUEST_SIZE as i32 <= end && end < 0);
        assert!(
            layout.defined_global(GlobalIndex(999_999)) as u32 + GLOBAL_SIZE <= layout.state_size() as u32
        );
    }

    #[test]
    fn what_does_not_fit_a_store_is_refused() {
        let counts = LayoutCounts { escaping_funcs: 3_000_000, ..LayoutCounts::default() };
        assert_eq!(VmLayout::new(counts), None);
        let counts = LayoutCounts { defined_tables: vec![Some(1 << 20); 17], ..LayoutCounts::default() };
        assert_eq!(VmLayout::new(counts), None);
    }
}
