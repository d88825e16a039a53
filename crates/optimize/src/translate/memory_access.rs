//! From a wasm address to one that code can use.
//!
//! A memory that is reserved whole has 4 GiB and a guard behind it that fault, so that an index needs no check
//! while the constant offset and the size of the access together stay within the guard. Otherwise the end of
//! the access is compared with the memory's length, in 64 bits, where nothing overflows.

use super::translator::Translator;
use crate::region::Region;
use crate::signature::ADDRESS;
use crate::trap_code;
use belljar_abi::{GUARD_SIZE, MemoryDef};
use belljar_compile::MemoryAccess;
use belljar_core::{MemoryIndex, Trap};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use std::mem::offset_of;
use wasmparser::{MemArg, MemArgTarget};

/// Where an access goes: flags, address, and constant offset from it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) flags: MemFlagsData,
    pub(super) address: Value,
    pub(super) offset: i32,
}

impl Translator<'_> {
    /// The place of an access of `size` bytes at the topmost value.
    pub(super) fn place(&mut self, arg: &MemArg, size: u32) -> Place {
        let index = self.pop();
        let memory = match arg.target {
            MemArgTarget::Memory(memory) => MemoryIndex(memory),
            // Arrays come with the garbage collector, which validation does not let through yet.
            MemArgTarget::Array(_) => MemoryIndex(0),
        };
        let index = self.widen(index);
        self.place_at(memory, index, arg.offset, u64::from(size))
    }

    /// The place of an access of `size` bytes at a 64-bit index.
    fn place_at(&mut self, memory: MemoryIndex, index: Value, offset: u64, size: u64) -> Place {
        let reserved = self.plan.tunables.memory_access == MemoryAccess::Reserved;
        let end = offset.saturating_add(size);
        if !reserved || end > GUARD_SIZE {
            self.check_bounds(memory, index, end);
        }
        let place = self.checked_place(memory, index);
        match i32::try_from(offset) {
            Ok(offset) => Place { offset, ..place },
            Err(_) => Place { address: self.b.ins().iadd_imm_s(place.address, offset as i64), ..place },
        }
    }

    /// The place at a 64-bit index that needs no check.
    pub(super) fn checked_place(&mut self, memory: MemoryIndex, index: Value) -> Place {
        let base = self.current_base(memory);
        let address = self.b.ins().iadd(base, index);
        Place { flags: self.heap_flags(memory), address, offset: 0 }
    }

    /// Traps unless `index + end` lies within the memory. Neither exceeds 33 bits.
    pub(super) fn check_bounds(&mut self, memory: MemoryIndex, index: Value, end: u64) {
        let length = self.memory_length(memory);
        let end = self.b.ins().iadd_imm_s(index, end as i64);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, length);
        self.b.ins().trapnz(outside, trap_code::encode(Trap::MemoryOutOfBounds));
    }

    fn heap_flags(&mut self, memory: MemoryIndex) -> MemFlagsData {
        let region = Region::heap(memory, self.module.imported_memories());
        self.regions.guest(self.b.func, region)
    }

    fn current_base(&mut self, memory: MemoryIndex) -> Value {
        match self.plan.tunables.memory_access {
            MemoryAccess::Reserved => self.memory_base(memory),
            MemoryAccess::Checked => self.load_def(memory, offset_of!(MemoryDef, base)),
        }
    }

    /// Accessible bytes, 64 bits.
    pub(super) fn memory_length(&mut self, memory: MemoryIndex) -> Value {
        self.load_def(memory, offset_of!(MemoryDef, length))
    }

    fn load_def(&mut self, memory: MemoryIndex, field: usize) -> Value {
        let def = self.memory_def(memory);
        let flags = self.regions.trusted(self.b.func, Region::MEMORY_DEF);
        debug_assert_eq!(ADDRESS, types::I64);
        self.b.ins().load(ADDRESS, flags, def, field as i32)
    }
}
