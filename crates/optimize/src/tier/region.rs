//! Disjoint regions of memory for Cranelift's alias analysis: a store to one region does not affect another.

use crate::tier::trap_code;
use belljar_core::{GlobalIndex, MemoryIndex, Trap};
use cranelift_codegen::ir::{AliasRegion, AliasRegionData, Function, MemFlagsData};

/// A region of memory that no access with another region ever touches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Region(u32);

/// Regions over which defined globals are distributed: enough to separate frequently used ones, few enough that merging
/// their states costs nothing.
const GLOBALS: u32 = 8;
/// Regions over which defined memories are distributed.
const HEAPS: u32 = 4;
/// Regions over which fields of objects are distributed by offset: fields at different offsets never overlap.
const FIELDS: u32 = 8;
/// Regions of array elements, by size.
const ELEMENTS: u32 = 5;

impl Region {
    /// Mutable fields of the store context.
    pub(crate) const STORE: Self = Self(0);
    /// Addresses and sizes of memories.
    pub(crate) const MEMORY_DEF: Self = Self(1);
    /// Positions and sizes of tables.
    pub(crate) const TABLE_HEADER: Self = Self(2);
    /// Elements of tables.
    pub(crate) const TABLE_ELEMENT: Self = Self(3);
    /// Imported globals: two imports may be one global.
    pub(crate) const IMPORTED_GLOBAL: Self = Self(4);
    /// Slots through which values pass between host and guest.
    pub(crate) const VALUES: Self = Self(5);
    /// Imported memories: two imports may be one memory.
    const IMPORTED_HEAP: Self = Self(6);
    const FIRST_HEAP: u32 = 7;
    const FIRST_GLOBAL: u32 = Self::FIRST_HEAP + HEAPS;
    const FIRST_FIELD: u32 = Self::FIRST_GLOBAL + GLOBALS;
    const FIRST_ELEMENT: u32 = Self::FIRST_FIELD + FIELDS;
    /// The nursery's allocation state.
    pub(crate) const NURSERY: Self = Self(Self::FIRST_ELEMENT + ELEMENTS);
    /// Headers of objects.
    pub(crate) const HEADER: Self = Self(Self::NURSERY.0 + 1);
    /// Lengths of arrays.
    pub(crate) const LENGTH: Self = Self(Self::NURSERY.0 + 2);
    /// Cards.
    pub(crate) const CARD: Self = Self(Self::NURSERY.0 + 3);
    /// The table of supertype displays. It never changes, but a load from it must not move before the checks that it
    /// depends on.
    pub(crate) const TYPE_DISPLAY: Self = Self(Self::NURSERY.0 + 4);
    /// Locals in the stack frame.
    pub(crate) const LOCAL: Self = Self(Self::NURSERY.0 + 5);
    const COUNT: usize = Self::LOCAL.0 as usize + 1;

    /// Returns the region of a struct's field at this offset.
    pub(crate) fn field(offset: u32) -> Self {
        Self(Self::FIRST_FIELD + offset / 4 % FIELDS)
    }

    /// Returns the region of array elements of this size in bytes.
    pub(crate) fn element(size: u32) -> Self {
        Self(Self::FIRST_ELEMENT + size.trailing_zeros().min(ELEMENTS - 1))
    }

    pub(crate) fn heap(memory: MemoryIndex, imported: usize) -> Self {
        match memory.index().checked_sub(imported) {
            None => Self::IMPORTED_HEAP,
            Some(defined) => Self(Self::FIRST_HEAP + defined as u32 % HEAPS),
        }
    }

    pub(crate) fn global(global: GlobalIndex, imported: usize) -> Self {
        match global.index().checked_sub(imported) {
            None => Self::IMPORTED_GLOBAL,
            Some(defined) => Self(Self::FIRST_GLOBAL + defined as u32 % GLOBALS),
        }
    }

    const fn description(self) -> &'static str {
        match self.0 {
            0 => "store context",
            1 => "memory definition",
            2 => "table header",
            3 => "table element",
            4 => "imported global",
            5 => "values",
            6 => "imported memory",
            n if n < Self::FIRST_GLOBAL => "memory",
            n if n < Self::FIRST_FIELD => "global",
            n if n == Self::LOCAL.0 => "local",
            _ => "object",
        }
    }
}

/// The regions that one function has used so far.
#[derive(Debug)]
pub(crate) struct Regions([Option<AliasRegion>; Region::COUNT]);

impl Default for Regions {
    fn default() -> Self {
        Self([None; Region::COUNT])
    }
}

impl Regions {
    fn get(&mut self, func: &mut Function, region: Region) -> AliasRegion {
        *self.0[region.0 as usize].get_or_insert_with(|| {
            func.dfg
                .alias_regions
                .insert(AliasRegionData { user_id: region.0, description: region.description().into() })
        })
    }

    /// Returns the flags of an access to mutable data that cannot fault.
    pub(crate) fn trusted(&mut self, func: &mut Function, region: Region) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.get(func, region)))
    }

    /// Returns the flags of an access to an object that may be null, which traps.
    pub(crate) fn object(&mut self, func: &mut Function, region: Region) -> MemFlagsData {
        self.guest(func, region).with_trap_code(Some(trap_code::encode(Trap::NullReference)))
    }

    /// Returns the flags of a guest's access to its memory: any alignment; a fault is a trap.
    pub(crate) fn guest(&mut self, func: &mut Function, region: Region) -> MemFlagsData {
        MemFlagsData::new()
            .with_endianness(cranelift_codegen::ir::Endianness::Little)
            .with_alias_region(Some(self.get(func, region)))
    }
}

/// Returns the flags of a load of data that does not change while the function runs.
pub(crate) const fn constant() -> MemFlagsData {
    MemFlagsData::trusted().with_readonly().with_can_move()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_share_a_region_and_neighbours_do_not() {
        assert_eq!(Region::global(GlobalIndex(0), 2), Region::global(GlobalIndex(1), 2));
        assert_ne!(Region::global(GlobalIndex(2), 2), Region::global(GlobalIndex(3), 2));
        assert_ne!(Region::heap(MemoryIndex(0), 0), Region::global(GlobalIndex(0), 0));
    }
}
