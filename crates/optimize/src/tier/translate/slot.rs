//! Constants of the instance, loaded from its constant block.
//!
//! Each is loaded once, at the top of the entry block, where it dominates every use. The load is pure: the optimizer
//! moves it to the first use, or removes it if there is none.

use super::translator::Translator;
use crate::tier::region;
use crate::tier::signature::ADDRESS;
use belljar_abi::{ConstHeader, MemoryRef, VmLayout};
use belljar_core::MemoryIndex;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{InstBuilder, Value};
use std::mem::offset_of;

macro_rules! header_slots {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub(super) fn $name(&mut self) -> Value {
            if let Some(value) = self.slots.$name {
                return value;
            }
            let value = self.load_at_entry(VmLayout::header(offset_of!(ConstHeader, $name)));
            self.slots.$name = Some(value);
            value
        }
    )*};
}

impl Translator<'_> {
    header_slots! {
        /// Returns the address of the store context.
        store_context;
        /// Returns the base address of reference ids.
        const_base;
        /// Returns the address of the module's text.
        text_base;
        /// Returns the address of the table of builtins.
        builtins;
        /// Returns the base address of references to objects.
        gc_base;
        /// Returns the address of the engine's table of supertype displays.
        type_displays;
    }

    fn load_at_entry(&mut self, offset: i32) -> Value {
        let mut cursor = FuncCursor::new(self.b.func).at_first_insertion_point(self.entry);
        cursor.ins().load(ADDRESS, region::constant(), self.context, offset)
    }

    /// Returns the address of byte 0 of a memory that never moves.
    pub(super) fn memory_base(&mut self, memory: MemoryIndex) -> Value {
        let offset = self.module.layout().memory(memory) + offset_of!(MemoryRef, base) as i32;
        if memory.0 != 0 {
            return self.load_constant(ADDRESS, self.context, offset);
        }
        let value = self.slots.memory_base.unwrap_or_else(|| self.load_at_entry(offset));
        self.slots.memory_base = Some(value);
        value
    }

    /// Returns the address of a memory's definition.
    pub(super) fn memory_def(&mut self, memory: MemoryIndex) -> Value {
        let offset = self.module.layout().memory(memory) + offset_of!(MemoryRef, def) as i32;
        if memory.0 != 0 {
            return self.load_constant(ADDRESS, self.context, offset);
        }
        let value = self.slots.memory_def.unwrap_or_else(|| self.load_at_entry(offset));
        self.slots.memory_def = Some(value);
        value
    }
}
