//! The tables of a store: reading, writing, growing, and operations on ranges of elements.

use crate::growth_limiter::GrowthLimiter;
use crate::interrupt::{STRIDE, strides};
use crate::quota::Limit;
use crate::store::StoreCore;
use crate::table::{TABLE_LIMIT, Table};
use crate::vm_ptr::VmPtr;
use belljar_abi::GuestTable;
use belljar_core::{Counted, TableType, Trap};
use std::ops::Range;

/// The number of elements that are written between two checks for an interrupt.
const ELEMENTS: usize = STRIDE / size_of::<u32>();

impl StoreCore {
    fn guest_table(&self, table: usize) -> GuestTable {
        // SAFETY: a table's header lives as long as the store (STORE-PINNED); nothing writes it while the store is
        // borrowed (STORE-EXCLUSIVE).
        unsafe { self.entities.tables[table].header.read() }
    }

    fn set_guest_table(&mut self, table: usize, value: GuestTable) {
        // SAFETY: as in `guest_table`, with the store held exclusively.
        unsafe { self.entities.tables[table].header.write(value) };
    }

    /// Creates a table of its type's minimum size. `header` is the offset of its header; if `None`, one is allocated.
    pub(crate) fn push_table(
        &mut self,
        ty: TableType,
        init: u32,
        header: Option<usize>,
        place: Option<u32>,
        growth_limiter: &mut GrowthLimiter<'_>,
    ) -> belljar_core::Result<usize> {
        growth_limiter.check_count(Limit::Tables, self.entities.tables.len())?;
        let count = ty.minimum();
        if let Some(limiter) = growth_limiter.limiter()
            && !limiter.table_growing(0, count as usize, ty.maximum().map(|m| m as usize))?
        {
            return Err(growth_limiter
                .error(|| format!("a table of {} exceeds the store's limit", Counted(count, "element"))));
        }
        belljar_core::ensure!(
            count <= TABLE_LIMIT,
            "a table of {count} elements is larger than the {TABLE_LIMIT} that this implementation allows"
        );
        let left = self.region.heap_left();
        let full = || {
            belljar_core::format_err!(
                "no room for a table of {}: the store's tables may use {} more",
                Counted(count, "element"),
                Counted::of(left, "byte")
            )
        };
        let offset = match place {
            Some(offset) => offset,
            None => self.region.table_space(count as usize * 4).ok_or_else(full)?,
        };
        let header = match header {
            Some(header) => header,
            None => {
                let at = self.region.table_space(size_of::<GuestTable>());
                self.region.state_base()
                    + at.ok_or_else(|| belljar_core::format_err!("no room for a table"))? as usize
            }
        };
        let traced = self.is_traced(ty.element().into());
        self.entities.tables.push(Table { ty, header: VmPtr::at(header), traced });
        let table = self.entities.tables.len() - 1;
        self.set_guest_table(table, GuestTable { offset, length: count as u32 });
        if init != 0 {
            self.elements_mut(table).fill(init);
        }
        Ok(table)
    }

    /// Returns the current number of elements.
    pub fn table_size(&self, table: usize) -> u32 {
        self.guest_table(table).length
    }

    /// Returns a table's type.
    pub fn table_type(&self, table: usize) -> TableType {
        self.entities.tables[table].ty
    }

    /// Returns the address of the elements at an offset of the region.
    fn elements_at(&self, offset: u32) -> VmPtr<u32> {
        VmPtr::at(self.region.state_base() + offset as usize)
    }

    pub(crate) fn elements(&self, table: usize) -> &[u32] {
        let GuestTable { offset, length } = self.guest_table(table);
        let at = self.elements_at(offset);
        // SAFETY: a header describes space of the store's region (IN-BOUNDS), 4-aligned, which nothing writes while the
        // store is borrowed (STORE-EXCLUSIVE).
        unsafe { at.slice(length as usize) }
    }

    pub(crate) fn elements_mut(&mut self, table: usize) -> &mut [u32] {
        let GuestTable { offset, length } = self.guest_table(table);
        let at = self.elements_at(offset);
        // SAFETY: as in `elements`, with the store held exclusively.
        unsafe { at.slice_mut(length as usize) }
    }

    /// Grows a table. Returns the old size, or `None` if growth is not allowed or fails.
    pub(crate) fn grow_table(
        &mut self,
        table: usize,
        delta: u64,
        init: u32,
        growth_limiter: &mut GrowthLimiter<'_>,
    ) -> belljar_core::Result<Option<u32>> {
        let old = self.guest_table(table);
        let ty = self.entities.tables[table].ty;
        let desired = u64::from(old.length).saturating_add(delta);
        let maximum = ty.maximum().unwrap_or(u64::from(u32::MAX));
        if let Some(limiter) = growth_limiter.limiter() {
            if desired > maximum {
                limiter.table_grow_failed(belljar_core::format_err!(
                    "the table's maximum is {}",
                    Counted(maximum, "element")
                ))?;
                return Ok(None);
            }
            let maximum = ty.maximum().map(|m| m as usize);
            if !limiter.table_growing(old.length as usize, desired as usize, maximum)? {
                return Ok(None);
            }
        }
        if desired > maximum || desired > TABLE_LIMIT {
            return Ok(None);
        }
        if delta == 0 {
            return Ok(Some(old.length));
        }
        // Sizes are powers of two: within one, a table grows in place.
        let class = |length: u64| (length as usize * 4).max(16).next_power_of_two();
        let mut new = GuestTable { offset: old.offset, length: desired as u32 };
        if class(desired) != class(u64::from(old.length)) || self.is_inline(old.offset) {
            let Some(offset) = self.region.table_space(desired as usize * 4) else { return Ok(None) };
            new.offset = offset;
            self.move_elements(old.offset, offset, old.length as usize)?;
            self.set_guest_table(table, new);
            if !self.is_inline(old.offset) {
                self.region.free_table_space(old.offset, old.length as usize * 4);
            }
        } else {
            self.set_guest_table(table, new);
        }
        self.fill_elements(table, old.length as usize..desired as usize, init)?;
        Ok(Some(old.length))
    }

    /// Returns whether elements lie in an instance's state, not in the heap.
    fn is_inline(&self, offset: u32) -> bool {
        (offset as usize) < belljar_abi::CONTEXT_DISTANCE
    }

    pub(crate) fn fill_table(&mut self, table: usize, dst: u64, value: u32, length: u64) -> Result<(), Trap> {
        let range = range(dst, length, self.elements(table).len())?;
        self.fill_elements(table, range, value)
    }

    fn fill_elements(&mut self, table: usize, range: Range<usize>, value: u32) -> Result<(), Trap> {
        for piece in strides(range.len(), ELEMENTS, false) {
            self.check_interrupt()?;
            self.elements_mut(table)[range.start + piece.start..range.start + piece.end].fill(value);
        }
        Ok(())
    }

    /// Copies elements to unused space of the store's region.
    fn move_elements(&mut self, from: u32, to: u32, count: usize) -> Result<(), Trap> {
        let (source, target) = (self.elements_at(from).as_ptr().cast_const(), self.elements_at(to).as_ptr());
        for piece in strides(count, ELEMENTS, false) {
            self.check_interrupt()?;
            // SAFETY: both are space of the store's region (IN-BOUNDS), held exclusively (STORE-EXCLUSIVE), and do not
            // overlap, since the region's allocator returned one while the other was in use.
            unsafe {
                target.add(piece.start).copy_from_nonoverlapping(source.add(piece.start), piece.len());
            }
        }
        Ok(())
    }

    pub(crate) fn copy_table(
        &mut self,
        dst_table: usize,
        src_table: usize,
        dst: u64,
        src: u64,
        length: u64,
    ) -> Result<(), Trap> {
        let (source, target) = (self.guest_table(src_table), self.guest_table(dst_table));
        let from = range(src, length, source.length as usize)?;
        let to = range(dst, length, target.length as usize)?;
        let source = self.elements_at(source.offset).byte_add(from.start * size_of::<u32>());
        let target = self.elements_at(target.offset).byte_add(to.start * size_of::<u32>());
        for piece in strides(to.len(), ELEMENTS, target.address() > source.address()) {
            self.check_interrupt()?;
            // SAFETY: both ranges were compared with their tables (IN-BOUNDS), and the store is held exclusively
            // (STORE-EXCLUSIVE). They may overlap.
            unsafe {
                let (source, target) = (source.as_ptr(), target.as_ptr());
                target.add(piece.start).copy_from(source.add(piece.start), piece.len());
            }
        }
        Ok(())
    }

    /// Copies items into a table.
    pub(crate) fn init_table(&mut self, table: usize, dst: u64, items: &[u32]) -> Result<(), Trap> {
        let to = range(dst, items.len() as u64, self.elements(table).len())?;
        for piece in strides(items.len(), ELEMENTS, false) {
            self.check_interrupt()?;
            let part = &items[piece.clone()];
            self.elements_mut(table)[to.start + piece.start..to.start + piece.end].copy_from_slice(part);
        }
        Ok(())
    }
}

/// Returns the range `start .. start + length` of a table, if it has that many elements.
pub(crate) fn range(start: u64, length: u64, size: usize) -> Result<std::ops::Range<usize>, Trap> {
    match start.checked_add(length) {
        Some(end) if end <= size as u64 => Ok(start as usize..end as usize),
        _ => Err(Trap::TableOutOfBounds),
    }
}
