//! Scalar loads and stores, and the size of a memory.

use super::translator::Translator;
use belljar_abi::Builtin;
use belljar_core::MemoryIndex;
use cranelift_codegen::ir::{InstBuilder, Opcode, Type, types};
use wasmparser::{MemArg, Operator};

impl Translator<'_> {
    // A flat table of opcodes.
    pub(super) fn memory(&mut self, op: &Operator<'_>) -> bool {
        use Opcode::{Istore8, Istore16, Istore32, Sload8, Sload16, Sload32, Uload8, Uload16, Uload32};
        use types::{F32, F64, I32, I64};
        match op {
            Operator::I32Load { memarg } => self.load(I32, memarg),
            Operator::I64Load { memarg } => self.load(I64, memarg),
            Operator::F32Load { memarg } => self.load(F32, memarg),
            Operator::F64Load { memarg } => self.load(F64, memarg),
            Operator::I32Load8S { memarg } => self.load_part(Sload8, I32, 1, memarg),
            Operator::I32Load8U { memarg } => self.load_part(Uload8, I32, 1, memarg),
            Operator::I32Load16S { memarg } => self.load_part(Sload16, I32, 2, memarg),
            Operator::I32Load16U { memarg } => self.load_part(Uload16, I32, 2, memarg),
            Operator::I64Load8S { memarg } => self.load_part(Sload8, I64, 1, memarg),
            Operator::I64Load8U { memarg } => self.load_part(Uload8, I64, 1, memarg),
            Operator::I64Load16S { memarg } => self.load_part(Sload16, I64, 2, memarg),
            Operator::I64Load16U { memarg } => self.load_part(Uload16, I64, 2, memarg),
            Operator::I64Load32S { memarg } => self.load_part(Sload32, I64, 4, memarg),
            Operator::I64Load32U { memarg } => self.load_part(Uload32, I64, 4, memarg),
            Operator::I32Store { memarg } | Operator::F32Store { memarg } => self.store(4, memarg),
            Operator::I64Store { memarg } | Operator::F64Store { memarg } => self.store(8, memarg),
            Operator::I32Store8 { memarg } | Operator::I64Store8 { memarg } => {
                self.store_part(Istore8, 1, memarg);
            }
            Operator::I32Store16 { memarg } | Operator::I64Store16 { memarg } => {
                self.store_part(Istore16, 2, memarg);
            }
            Operator::I64Store32 { memarg } => self.store_part(Istore32, 4, memarg),
            Operator::MemorySize { mem } => self.memory_size(MemoryIndex(*mem)),
            Operator::MemoryGrow { mem } => self.memory_grow(*mem),
            _ => return false,
        }
        true
    }

    pub(super) fn load(&mut self, ty: Type, arg: &MemArg) {
        let place = self.access_address(arg, ty.bytes());
        let value = self.b.ins().load(ty, place.flags, place.address, place.offset);
        self.push(value);
    }

    /// Loads `size` bytes and extends them according to the opcode.
    fn load_part(&mut self, opcode: Opcode, ty: Type, size: u32, arg: &MemArg) {
        let place = self.access_address(arg, size);
        let flags = self.b.func.dfg.mem_flags.insert_unchecked(place.flags);
        let (load, dfg) = self.b.ins().Load(opcode, ty, flags, place.offset.into(), place.address);
        let value = dfg.first_result(load);
        self.push(value);
    }

    pub(super) fn store(&mut self, size: u32, arg: &MemArg) {
        let value = self.pop();
        let place = self.access_address(arg, size);
        self.b.ins().store(place.flags, value, place.address, place.offset);
    }

    /// Stores the low `size` bytes.
    fn store_part(&mut self, opcode: Opcode, size: u32, arg: &MemArg) {
        let value = self.pop();
        let ty = self.type_of(value);
        let place = self.access_address(arg, size);
        if let Some(bits) = self.constant(value) {
            // In its own width, so that it becomes an immediate instead of a register.
            let narrow = Type::int_with_byte_size(size as u16).expect("stores are one to eight bytes");
            let bits = bits & (u64::MAX >> (64 - 8 * size));
            let value = self.b.ins().iconst(narrow, bits as i64);
            self.b.ins().store(place.flags, value, place.address, place.offset);
            return;
        }
        let flags = self.b.func.dfg.mem_flags.insert_unchecked(place.flags);
        self.b.ins().Store(opcode, ty, flags, place.offset.into(), value, place.address);
    }

    fn memory_size(&mut self, memory: MemoryIndex) {
        let ty = self.module.memories()[memory.index()];
        let bytes = self.memory_length(memory);
        let pages = self.b.ins().ushr_imm_u(bytes, i64::from(ty.page_size_log2()));
        self.push_address(pages, ty.is_64());
    }

    fn memory_grow(&mut self, memory: u32) {
        let is_64 = self.module.memories()[memory as usize].is_64();
        let delta = self.pop();
        let delta = self.widen(delta);
        let memory = self.i32_const(memory);
        if let Some(old) = self.call_builtin(Builtin::MemoryGrow, &[memory, delta]) {
            self.push_address(old, is_64);
        }
    }
}
