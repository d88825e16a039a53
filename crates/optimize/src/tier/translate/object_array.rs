//! Arrays.

use super::object::Extension;
use super::translator::Translator;
use crate::tier::region::Region;
use crate::tier::signature::value_type;
use crate::tier::trap_code;
use belljar_abi::Builtin;
use belljar_abi::gc::{ELEMENTS, LENGTH};
use belljar_core::{CompositeType, StorageType, Trap, TypeIndex, ValType};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, Endianness, InstBuilder, MemFlagsData, Type, Value, types};
use wasmparser::Operator;

impl<'a> Translator<'a> {
    pub(super) fn arrays(&mut self, op: &Operator<'_>) -> bool {
        match *op {
            Operator::ArrayNew { array_type_index } => self.array_new(TypeIndex(array_type_index)),
            Operator::ArrayNewDefault { array_type_index } => {
                self.array_new_default(TypeIndex(array_type_index));
            }
            Operator::ArrayNewFixed { array_type_index, array_size } => {
                self.array_new_fixed(TypeIndex(array_type_index), array_size);
            }
            Operator::ArrayNewData { array_type_index, array_data_index } => {
                self.array_new_from(Builtin::ArrayNewData, array_type_index, array_data_index);
            }
            Operator::ArrayNewElem { array_type_index, array_elem_index } => {
                self.array_new_from(Builtin::ArrayNewElem, array_type_index, array_elem_index);
            }
            Operator::ArrayGet { array_type_index } => {
                self.array_get(TypeIndex(array_type_index), Extension::None);
            }
            Operator::ArrayGetS { array_type_index } => {
                self.array_get(TypeIndex(array_type_index), Extension::Signed);
            }
            Operator::ArrayGetU { array_type_index } => {
                self.array_get(TypeIndex(array_type_index), Extension::Unsigned);
            }
            Operator::ArraySet { array_type_index } => self.array_set(TypeIndex(array_type_index)),
            Operator::ArrayLen => {
                let array = self.pop();
                let length = self.array_length(array);
                self.push(length);
            }
            Operator::ArrayFill { array_type_index } => self.array_fill(TypeIndex(array_type_index)),
            Operator::ArrayCopy { .. } => self.array_copy(),
            Operator::ArrayInitData { array_data_index, .. } => {
                self.array_init(Builtin::ArrayInitData, array_data_index);
            }
            Operator::ArrayInitElem { array_elem_index, .. } => {
                self.array_init(Builtin::ArrayInitElem, array_elem_index);
            }
            _ => return false,
        }
        true
    }

    fn element_type(&self, ty: TypeIndex) -> StorageType {
        match self.module.composite_type(ty) {
            CompositeType::Array(ty) => ty.field_type().element_type(),
            _ => panic!("validation checked that this is an array type"),
        }
    }

    /// Returns the length of an array that may be null, which traps.
    fn array_length(&mut self, array: Value) -> Value {
        let address = self.object_address(array);
        let flags = self.regions.object(self.b.func, Region::LENGTH);
        self.b.ins().load(types::I32, flags, address, LENGTH as i32)
    }

    /// Returns the flags of an access to an element that exists.
    fn element_flags(&mut self, storage: StorageType) -> MemFlagsData {
        self.regions.trusted(self.b.func, Region::element(storage.size())).with_endianness(Endianness::Little)
    }

    /// Returns the 64-bit offset of an element in the heap, without the offset of element 0.
    fn element_offset(&mut self, array: Value, index: Value, storage: StorageType) -> Value {
        let (array, index) = (self.widen(array), self.widen(index));
        let distance = self.b.ins().ishl_imm_u(index, i64::from(storage.size().trailing_zeros()));
        self.b.ins().iadd(array, distance)
    }

    fn array_new(&mut self, ty: TypeIndex) {
        let (value, length) = self.pop2();
        let storage = self.element_type(ty);
        if self.constant(value) == Some(0) && !self.is_float(storage) {
            return self.array_of_zeros(ty, length);
        }
        let (array, bytes) = self.alloc_array(ty, length);
        let (piece, value) = self.repeated(storage, value);
        self.fill_new(array, bytes, piece, value);
        self.push(array);
    }

    fn is_float(&self, storage: StorageType) -> bool {
        matches!(storage, StorageType::Val(ty) if ty.is_float_or_vector())
    }

    fn array_new_default(&mut self, ty: TypeIndex) {
        let length = self.pop();
        self.array_of_zeros(ty, length);
    }

    fn array_of_zeros(&mut self, ty: TypeIndex, length: Value) {
        let (array, bytes) = self.alloc_array(ty, length);
        let zero = self.i64_const(0);
        self.fill_new(array, bytes, types::I64, zero);
        self.push(array);
    }

    /// Returns an element's value repeated over at least eight bytes, and the type of the result.
    fn repeated(&mut self, storage: StorageType, value: Value) -> (Type, Value) {
        let little = MemFlagsData::new().with_endianness(Endianness::Little);
        let times = |t: &mut Self, value: Value, pattern: u64, mask: Option<i64>| {
            let value = match mask {
                Some(mask) => t.b.ins().band_imm_u(value, mask),
                None => value,
            };
            let wide = t.widen(value);
            let pattern = t.i64_const(pattern);
            (types::I64, t.b.ins().imul(wide, pattern))
        };
        match storage {
            StorageType::I8 => times(self, value, 0x0101_0101_0101_0101, Some(0xff)),
            StorageType::I16 => times(self, value, 0x0001_0001_0001_0001, Some(0xffff)),
            StorageType::Val(ValType::I32 | ValType::Ref(_)) => {
                times(self, value, 0x0000_0001_0000_0001, None)
            }
            StorageType::Val(ValType::F32) => {
                let bits = self.b.ins().bitcast(types::I32, little, value);
                times(self, bits, 0x0000_0001_0000_0001, None)
            }
            StorageType::Val(ty) => (value_type(ty), self.canonical(value)),
        }
    }

    /// Fills a newly allocated array with a value. Its slots need no write barrier: it is in the nursery, or all of its
    /// cards are marked.
    fn fill_new(&mut self, array: Value, bytes: Value, piece: Type, value: Value) {
        let start = self.object_address(array);
        let end = self.b.ins().iadd(start, bytes);
        let first = self.b.ins().iadd_imm_s(start, i64::from(ELEMENTS));
        let size = piece.bytes();
        let flags = self.regions.trusted(self.b.func, Region::element(size));
        self.for_each_address(first, end, i64::from(size), |t, at| {
            t.b.ins().store(flags, value, at, 0);
        });
    }

    /// Emits a loop over addresses from `first` up to but excluding `end`.
    fn for_each_address(&mut self, first: Value, end: Value, step: i64, body: impl FnOnce(&mut Self, Value)) {
        let (round, done) = (self.b.create_block(), self.b.create_block());
        let at = self.b.append_block_param(round, types::I64);
        let some = self.b.ins().icmp(IntCC::UnsignedLessThan, first, end);
        self.b.ins().brif(some, round, &[BlockArg::from(first)], done, &[]);
        self.b.switch_to_block(round);
        body(self, at);
        let next = self.b.ins().iadd_imm_s(at, step);
        let more = self.b.ins().icmp(IntCC::UnsignedLessThan, next, end);
        self.b.ins().brif(more, round, &[BlockArg::from(next)], done, &[]);
        self.b.seal_block(round);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
    }

    fn array_new_fixed(&mut self, ty: TypeIndex, length: u32) {
        let storage = self.element_type(ty);
        // Validation bounds the length, so this fits.
        let size = self.plan.array(ty).size(length).unwrap_or(u32::MAX);
        let array = self.alloc(ty, size);
        let address = self.object_address(array);
        let count = self.i32_const(length);
        let flags = self.regions.trusted(self.b.func, Region::LENGTH);
        self.b.ins().store(flags, count, address, LENGTH as i32);
        let height = self.s.stack.len() - length as usize;
        let flags = self.element_flags(storage);
        for i in 0..length {
            let value = self.reload_if_stale(self.s.stack[height + i as usize]);
            let offset = ELEMENTS + i * storage.size();
            self.store_storage(storage, flags, value, address, offset as i32);
        }
        self.s.stack.truncate(height);
        self.push(array);
    }

    fn array_new_from(&mut self, builtin: Builtin, ty: u32, segment: u32) {
        let (src, length) = self.pop2();
        let (ty, segment) = (self.i32_const(ty), self.i32_const(segment));
        let made = self.call_builtin(builtin, &[ty, segment, src, length]).expect("the builtin has a result");
        let array = self.b.ins().ireduce(types::I32, made);
        self.track(array);
        self.push(array);
    }

    /// Traps unless an index is in bounds of an array, which may be null.
    fn check_index(&mut self, array: Value, index: Value) {
        let length = self.array_length(array);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, length);
        self.b.ins().trapnz(outside, trap_code::encode(Trap::ArrayOutOfBounds));
    }

    /// Returns an element's offset in the heap and its address, both without the offset of element 0. Traps unless the index
    /// is in bounds.
    fn checked_element(&mut self, array: Value, index: Value, storage: StorageType) -> (Value, Value) {
        self.check_index(array, index);
        let offset = self.element_offset(array, index, storage);
        let base = self.gc_base();
        (offset, self.b.ins().iadd(base, offset))
    }

    fn array_get(&mut self, ty: TypeIndex, extension: Extension) {
        let (array, index) = self.pop2();
        let storage = self.element_type(ty);
        let (_, address) = self.checked_element(array, index, storage);
        let flags = self.element_flags(storage);
        let value = self.load_storage(storage, extension, flags, address, ELEMENTS as i32);
        self.note_stored_result(storage);
        self.push(value);
    }

    fn array_set(&mut self, ty: TypeIndex) {
        let (array, index, value) = self.pop3();
        let storage = self.element_type(ty);
        let (offset, address) = self.checked_element(array, index, storage);
        let flags = self.element_flags(storage);
        self.store_storage(storage, flags, value, address, ELEMENTS as i32);
        if self.is_storage_traced(storage) && self.may_be_object(value) {
            let slot = self.b.ins().iadd_imm_s(offset, i64::from(ELEMENTS));
            self.mark_card(slot);
        }
    }

    fn array_fill(&mut self, ty: TypeIndex) {
        let length = self.pop();
        let (array, start, value) = self.pop3();
        let storage = self.element_type(ty);
        let value = self.canonical(value);
        let count = self.array_length(array);
        let (first, wide_length, count) = (self.widen(start), self.widen(length), self.widen(count));
        let end = self.b.ins().iadd(first, wide_length);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, count);
        self.b.ins().trapnz(outside, trap_code::encode(Trap::ArrayOutOfBounds));
        let offset = self.element_offset(array, start, storage);
        let base = self.gc_base();
        let first = self.b.ins().iadd(base, offset);
        let bytes = self.b.ins().ishl_imm_u(wide_length, i64::from(storage.size().trailing_zeros()));
        let end = self.b.ins().iadd(first, bytes);
        let flags = self.element_flags(storage);
        let marks = self.is_storage_traced(storage) && self.may_be_object(value);
        self.for_each_address(first, end, i64::from(storage.size()), |t, at| {
            t.store_storage(storage, flags, value, at, ELEMENTS as i32);
            if marks {
                let slot = t.b.ins().isub(at, base);
                let slot = t.b.ins().iadd_imm_s(slot, i64::from(ELEMENTS));
                t.mark_card(slot);
            }
        });
    }

    fn array_copy(&mut self) {
        let length = self.pop();
        let (from, src) = self.pop2();
        let (to, dst) = self.pop2();
        // Null is checked before the bounds.
        self.trap_if_null(to);
        self.trap_if_null(from);
        self.call_builtin(Builtin::ArrayCopy, &[to, dst, from, src, length]);
    }

    fn array_init(&mut self, builtin: Builtin, segment: u32) {
        let (dst, src, length) = self.pop3();
        let array = self.pop();
        self.trap_if_null(array);
        let segment = self.i32_const(segment);
        self.call_builtin(builtin, &[segment, array, dst, src, length]);
    }
}
