//! Converts wasm addresses to host addresses, with bounds checks.
//!
//! A memory that is reserved whole has 4 GiB and a faulting guard behind it, so an index needs no check as long as the
//! constant offset plus the size of the access stay within the guard. A memory with 64-bit addresses has a guard behind
//! its last byte: the access uses the smaller of index and length, and faults if that is the length. This needs no
//! branch, is safe under speculative execution, and shares one pointer among all accesses. Otherwise the end of the
//! access is compared with the memory's length in 64 bits; if the sum can overflow, an overflow traps as well.

use super::translator::Translator;
use crate::tier::region::Region;
use crate::tier::signature::ADDRESS;
use crate::tier::trap_code;
use crate::tier::tuning::MEMORY_INDEX_GUARD;
use belljar_abi::{GUARD_SIZE, MemoryDef, can_be_reserved, is_guarded};
use belljar_compile::MemoryAccess;
use belljar_core::{MemoryIndex, MemoryType, Trap};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use std::mem::offset_of;
use wasmparser::{MemArg, MemArgTarget};

/// The target of an access: flags, address, and constant offset from it.
#[derive(Clone, Copy)]
pub(super) struct AccessAddress {
    pub(super) flags: MemFlagsData,
    pub(super) address: Value,
    pub(super) offset: i32,
}

impl Translator<'_> {
    /// Returns the target of an access of `size` bytes at the topmost value.
    pub(super) fn access_address(&mut self, arg: &MemArg, size: u32) -> AccessAddress {
        let index = self.pop();
        let memory = match arg.target {
            MemArgTarget::Memory(memory) => MemoryIndex(memory),
            // An atomic access to an array; validation does not allow these.
            MemArgTarget::Array(_) => MemoryIndex(0),
        };
        let index = self.widen(index);
        self.access_address_at(memory, index, arg.offset, u64::from(size))
    }

    fn memory_type(&self, memory: MemoryIndex) -> MemoryType {
        self.module.memories()[memory.index()]
    }

    /// Returns the target of an access of `size` bytes at a 64-bit index.
    fn access_address_at(
        &mut self,
        memory: MemoryIndex,
        index: Value,
        offset: u64,
        size: u64,
    ) -> AccessAddress {
        // No memory contains the last address, so a saturated end is out of bounds too.
        let end = offset.saturating_add(size);
        let index = match self.plan.memory_access(memory) {
            MemoryAccess::Reserved if end <= GUARD_SIZE => index,
            _ if self.is_always_inside(memory, index, end) => index,
            _ => self.check_bounds(memory, index, end),
        };
        let place = self.address_at(memory, index);
        match i32::try_from(offset) {
            Ok(offset) => AccessAddress { offset, ..place },
            Err(_) => {
                AccessAddress { address: self.b.ins().iadd_imm_s(place.address, offset as i64), ..place }
            }
        }
    }

    /// Returns whether a constant index lies within the initial size of the memory, which never shrinks.
    fn is_always_inside(&self, memory: MemoryIndex, index: Value, end: u64) -> bool {
        let end = self.constant(index).and_then(|index| index.checked_add(end));
        let minimum = self.memory_type(memory).minimum_bytes();
        matches!((end, minimum), (Some(end), Some(minimum)) if end <= minimum)
    }

    /// Returns the target at a 64-bit index that needs no check.
    pub(super) fn address_at(&mut self, memory: MemoryIndex, index: Value) -> AccessAddress {
        let base = self.current_base(memory);
        let address = self.b.ins().iadd(base, index);
        AccessAddress { flags: self.heap_flags(memory), address, offset: 0 }
    }

    /// Makes an access to the `end` bytes from `index` on safe: it traps here, or faults later, if they are out of
    /// bounds. Returns the index to use.
    fn check_bounds(&mut self, memory: MemoryIndex, index: Value, end: u64) -> Value {
        if is_guarded(&self.memory_type(memory)) && end <= GUARD_SIZE {
            let length = self.memory_length(memory);
            return self.b.ins().umin(index, length);
        }
        self.check_end(memory, index, end)
    }

    /// Traps unless the `end` bytes from `index` on lie within the memory. Returns the index to use.
    pub(super) fn check_end(&mut self, memory: MemoryIndex, index: Value, end: u64) -> Value {
        let length = self.memory_length(memory);
        let end = match self.memory_type(memory).is_64() {
            true => {
                let end = self.i64_const(end);
                self.sum_or_trap(end, index)
            }
            // Both fit 33 bits.
            false => self.b.ins().iadd_imm_s(index, end as i64),
        };
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, length);
        self.b.ins().trapnz(outside, trap_code::encode(Trap::MemoryOutOfBounds));
        self.guard_index_of(memory, outside, index)
    }

    /// Returns whether any of `length` bytes from `start` on lies outside the memory.
    pub(super) fn range_is_outside(&mut self, memory: MemoryIndex, start: Value, length: Value) -> Value {
        let accessible = self.memory_length(memory);
        let end = self.b.ins().iadd(start, length);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, accessible);
        if !self.memory_type(memory).is_64() {
            return outside;
        }
        let wrapped = self.b.ins().icmp(IntCC::UnsignedLessThan, end, start);
        self.b.ins().bor(outside, wrapped)
    }

    pub(super) fn sum_or_trap(&mut self, x: Value, y: Value) -> Value {
        self.b.ins().uadd_overflow_trap(x, y, trap_code::encode(Trap::MemoryOutOfBounds))
    }

    /// Returns an index that is in bounds even if execution speculates past the bounds check.
    pub(super) fn guard_index_of(&mut self, memory: MemoryIndex, outside: Value, index: Value) -> Value {
        if !MEMORY_INDEX_GUARD || can_be_reserved(&self.memory_type(memory)) {
            return index;
        }
        let zero = self.i64_const(0);
        self.b.ins().select_spectre_guard(outside, zero, index)
    }

    fn heap_flags(&mut self, memory: MemoryIndex) -> MemFlagsData {
        let region = Region::heap(memory, self.module.imported_memories());
        self.regions.guest(self.b.func, region)
    }

    fn current_base(&mut self, memory: MemoryIndex) -> Value {
        match self.plan.memory_access(memory) {
            MemoryAccess::Reserved => self.memory_base(memory),
            MemoryAccess::Checked => self.load_def(memory, offset_of!(MemoryDef, base)),
        }
    }

    /// Returns the number of accessible bytes, as 64 bits.
    pub(super) fn memory_length(&mut self, memory: MemoryIndex) -> Value {
        if !self.memory_type(memory).is_shared() {
            return self.load_def(memory, offset_of!(MemoryDef, length));
        }
        // Another thread may write it, so an earlier load must not be reused.
        let def = self.memory_def(memory);
        let length = self.b.ins().iadd_imm_s(def, offset_of!(MemoryDef, length) as i64);
        let flags = self.regions.trusted(self.b.func, Region::MEMORY_DEF);
        self.b.ins().atomic_load(ADDRESS, flags, length)
    }

    fn load_def(&mut self, memory: MemoryIndex, field: usize) -> Value {
        let def = self.memory_def(memory);
        let flags = self.regions.trusted(self.b.func, Region::MEMORY_DEF);
        debug_assert_eq!(ADDRESS, types::I64);
        self.b.ins().load(ADDRESS, flags, def, field as i32)
    }
}
