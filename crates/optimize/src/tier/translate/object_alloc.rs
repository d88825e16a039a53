//! Allocation of objects: in the nursery by advancing its top while there is room.

use super::translator::Translator;
use crate::tier::region::Region;
use crate::tier::tuning::INLINE_ALLOC_BYTES;
use belljar_abi::Builtin;
use belljar_abi::gc::{CONTROL, ELEMENTS, HeapControl, LENGTH, header};
use belljar_core::{CompositeType, TypeIndex};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};
use std::mem::offset_of;

const TOP: i32 = CONTROL as i32 + offset_of!(HeapControl, top) as i32;
const END: i32 = CONTROL as i32 + offset_of!(HeapControl, end) as i32;

impl Translator<'_> {
    /// Returns the header of objects of a type.
    pub(super) fn header_of(&mut self, ty: TypeIndex) -> Value {
        let id = self.load_constant(types::I32, self.context, self.module.layout().type_id(ty));
        match self.module.composite_type(ty) {
            CompositeType::Struct(_) => id,
            CompositeType::Array(_) => self.b.ins().bor_imm_u(id, i64::from(header::ARRAY)),
            CompositeType::Func(_) => self.b.ins().bor_imm_u(id, i64::from(header::EXN)),
        }
    }

    /// Allocates an object of a type and of constant size, and writes its header. The caller must initialize the rest
    /// before any call.
    pub(super) fn alloc(&mut self, ty: TypeIndex, size: u32) -> Value {
        let head = self.header_of(ty);
        let bytes = self.i32_const(size);
        if size > INLINE_ALLOC_BYTES {
            let wide = self.call_builtin(Builtin::GcAlloc, &[head, bytes]).expect("the builtin has a result");
            let object = self.b.ins().ireduce(types::I32, wide);
            self.track(object);
            return object;
        }
        let size = self.i64_const(u64::from(size));
        let object = self.bump_allocate(size, |t| t.call_builtin(Builtin::GcAlloc, &[head, bytes]));
        let address = self.object_address(object);
        let flags = self.regions.trusted(self.b.func, Region::HEADER);
        self.b.ins().store(flags, head, address, 0);
        object
    }

    /// Allocates an array of a length that is known only at run time, with its header and length. Its elements are
    /// unspecified or zero. Returns the array and its size in bytes.
    pub(super) fn alloc_array(&mut self, ty: TypeIndex, length: Value) -> (Value, Value) {
        let layout = self.plan.array(ty);
        let count = self.widen(length);
        let shift = i64::from(layout.element_size.trailing_zeros());
        let bytes = self.b.ins().ishl_imm_u(count, shift);
        let bytes = self.b.ins().iadd_imm_s(bytes, i64::from(ELEMENTS) + 7);
        let bytes = self.b.ins().band_imm_s(bytes, -8);
        let index = self.i32_const(ty.0);
        let object = self.bump_allocate(bytes, |t| t.call_builtin(Builtin::GcAllocArray, &[index, length]));
        let head = self.header_of(ty);
        self.start_array(object, head, length);
        (object, bytes)
    }

    /// Writes header and length of an array.
    pub(super) fn start_array(&mut self, array: Value, head: Value, length: Value) {
        let address = self.object_address(array);
        let flags = self.regions.trusted(self.b.func, Region::HEADER);
        self.b.ins().store(flags, head, address, 0);
        let flags = self.regions.trusted(self.b.func, Region::LENGTH);
        self.b.ins().store(flags, length, address, LENGTH as i32);
    }

    /// Allocates `size` bytes in the nursery, or calls `slow_path` if it is full.
    fn bump_allocate(&mut self, size: Value, slow_path: impl FnOnce(&mut Self) -> Option<Value>) -> Value {
        // Fuel counted so far would otherwise be charged on only one of the two paths.
        self.flush_fuel();
        let base = self.gc_base();
        let flags = self.regions.trusted(self.b.func, Region::NURSERY);
        let top = self.b.ins().load(types::I32, flags, base, TOP);
        let end = self.b.ins().load(types::I32, flags, base, END);
        let (wide, end) = (self.widen(top), self.widen(end));
        let next = self.b.ins().iadd(wide, size);
        let full = self.b.ins().icmp(IntCC::UnsignedGreaterThan, next, end);
        let (slow, fast, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let object = self.b.append_block_param(done, types::I32);
        self.track(object);
        self.b.set_cold_block(slow);
        self.b.ins().brif(full, slow, &[], fast, &[]);
        self.b.seal_block(slow);
        self.b.seal_block(fast);
        self.b.switch_to_block(fast);
        let next = self.b.ins().ireduce(types::I32, next);
        self.b.ins().store(flags, next, base, TOP);
        self.b.ins().jump(done, &[BlockArg::from(top)]);
        self.b.switch_to_block(slow);
        let made = slow_path(self).expect("allocation builtins return the object");
        let made = self.b.ins().ireduce(types::I32, made);
        self.b.ins().jump(done, &[BlockArg::from(made)]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        object
    }
}
