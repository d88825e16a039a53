//! Table addresses, and the instructions on single elements.

use super::translator::Translator;
use crate::tier::region::Region;
use crate::tier::signature::ADDRESS;
use belljar_abi::{CONTEXT_DISTANCE, GuestTable, TablePlace};
use belljar_core::{TableIndex, Trap};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use std::mem::offset_of;

impl Translator<'_> {
    pub(super) fn table_get(&mut self, table: u32) {
        let index = self.pop();
        let value = self.load_element(TableIndex(table), index, Trap::TableOutOfBounds);
        let element = self.module.tables()[table as usize].element();
        self.track_if(self.is_traced(element.into()), value);
        self.note_result(element.into());
        self.push(value);
    }

    pub(super) fn table_set(&mut self, table: u32) {
        let (index, value) = self.pop2();
        let (address, offset) = self.element_address(TableIndex(table), index, Trap::TableOutOfBounds);
        let flags = self.regions.trusted(self.b.func, Region::TABLE_ELEMENT);
        self.b.ins().store(flags, value, address, offset);
    }

    pub(super) fn table_size(&mut self, table: u32) {
        let length = self.table_length(TableIndex(table));
        let is_64 = self.module.tables()[table as usize].is_64();
        let size = if is_64 { self.widen(length) } else { length };
        self.push(size);
    }

    /// Returns the number of elements as an `i32`.
    pub(super) fn table_length(&mut self, table: TableIndex) -> Value {
        if let TablePlace::Fixed { length, .. } = self.module.layout().table(table) {
            return self.i32_const(length);
        }
        self.load_header(table, offset_of!(GuestTable, length))
    }

    /// Returns the address of element 0 as an address and a constant offset.
    pub(super) fn table_start(&mut self, table: TableIndex) -> (Value, i32) {
        if let TablePlace::Fixed { elements, .. } = self.module.layout().table(table) {
            return (self.context, elements);
        }
        let offset = self.load_header(table, offset_of!(GuestTable, offset));
        let offset = self.widen(offset);
        let base = self.const_base();
        (self.b.ins().iadd(base, offset), CONTEXT_DISTANCE as i32)
    }

    /// Loads a field of a table's header.
    fn load_header(&mut self, table: TableIndex, field: usize) -> Value {
        let (header, offset) = match self.module.layout().table(table) {
            TablePlace::Imported(slot) => (self.load_constant(ADDRESS, self.context, slot), 0),
            TablePlace::Growable(offset) | TablePlace::Fixed { elements: offset, .. } => {
                (self.context, offset)
            }
        };
        let flags = self.regions.trusted(self.b.func, Region::TABLE_HEADER);
        self.b.ins().load(types::I32, flags, header, offset + field as i32)
    }
}
