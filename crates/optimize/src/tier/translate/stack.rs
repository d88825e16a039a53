//! The value stack, locals, and constants.

use super::translator::Translator;
use crate::tier::region;
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{ConstantData, Endianness, InstBuilder, InstructionData, MemFlagsData, Opcode};
use cranelift_codegen::ir::{Type, Value, ValueDef, types};

impl Translator<'_> {
    pub(super) fn push(&mut self, value: Value) {
        self.s.stack.push(value);
    }

    pub(super) fn pop(&mut self) -> Value {
        let value = self.s.stack.pop().expect("validation bounds the stack");
        self.reload_if_stale(value)
    }

    /// Pops the two topmost values, the deeper one first.
    pub(super) fn pop2(&mut self) -> (Value, Value) {
        let y = self.pop();
        (self.pop(), y)
    }

    /// Pops the three topmost values, the deepest one first.
    pub(super) fn pop3(&mut self) -> (Value, Value, Value) {
        let z = self.pop();
        let (x, y) = self.pop2();
        (x, y, z)
    }

    pub(super) fn type_of(&self, value: Value) -> Type {
        self.b.func.dfg.value_type(value)
    }

    /// Returns a value in the form for locals, calls and block parameters: vectors as sixteen bytes.
    pub(super) fn canonical(&mut self, value: Value) -> Value {
        if self.vectors && self.type_of(value).is_vector() { self.lanes(types::I8X16, value) } else { value }
    }

    /// Returns a vector with lanes of another type.
    pub(super) fn lanes(&mut self, ty: Type, value: Value) -> Value {
        if self.type_of(value) == ty {
            return value;
        }
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        self.b.ins().bitcast(ty, flags, value)
    }

    /// Pops the topmost value as a condition: a comparison's one byte instead of the `i32` that wasm makes of it.
    pub(super) fn pop_condition(&mut self) -> Value {
        let value = self.pop();
        let dfg = &self.b.func.dfg;
        match dfg.value_def(value) {
            ValueDef::Result(inst, _) => match dfg.insts[inst] {
                InstructionData::Unary { opcode: Opcode::Uextend, arg } => arg,
                _ => value,
            },
            _ => value,
        }
    }

    /// Returns the bits of an integer constant, zero-extended.
    pub(super) fn constant(&self, value: Value) -> Option<u64> {
        let dfg = &self.b.func.dfg;
        match dfg.value_def(value) {
            ValueDef::Result(inst, _) => match dfg.insts[inst] {
                InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits() as u64),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn i32_const(&mut self, value: u32) -> Value {
        self.b.ins().iconst(types::I32, i64::from(value))
    }

    pub(super) fn i64_const(&mut self, value: u64) -> Value {
        self.b.ins().iconst(types::I64, value as i64)
    }

    /// Zero-extends a 32-bit value to 64 bits. A 64-bit address stays as it is.
    pub(super) fn widen(&mut self, value: Value) -> Value {
        if self.type_of(value) == types::I64 {
            return value;
        }
        self.b.ins().uextend(types::I64, value)
    }

    /// Pushes a 64-bit number with the address type of a memory or table.
    pub(super) fn push_address(&mut self, wide: Value, is_64: bool) {
        let value = if is_64 { wide } else { self.b.ins().ireduce(types::I32, wide) };
        self.push(value);
    }

    pub(super) fn v128_const(&mut self, bytes: [u8; 16]) -> Value {
        self.vconst(types::I8X16, bytes)
    }

    /// Creates a vector constant with lanes of this type.
    pub(super) fn vconst(&mut self, ty: Type, bytes: [u8; 16]) -> Value {
        self.vectors = true;
        let data = ConstantData::from(bytes.as_slice());
        let constant = self.b.func.dfg.constants.insert(data);
        self.b.ins().vconst(ty, constant)
    }

    /// Creates the initial value of a local.
    pub(super) fn zero(&mut self, ty: Type) -> Value {
        match ty {
            types::F32 => self.b.ins().f32const(Ieee32::with_bits(0)),
            types::F64 => self.b.ins().f64const(Ieee64::with_bits(0)),
            types::I8X16 => self.v128_const([0; 16]),
            int => self.b.ins().iconst(int, 0),
        }
    }

    /// Loads data that does not change while the function runs.
    pub(super) fn load_constant(&mut self, ty: Type, address: Value, offset: i32) -> Value {
        self.b.ins().load(ty, region::constant(), address, offset)
    }

    pub(super) fn local_get(&mut self, index: u32) {
        let value = match self.load_local(index as usize) {
            Some(value) => value,
            None => {
                let variable = self.local(index);
                self.b.use_var(variable)
            }
        };
        self.result_info = self.local_info(index);
        self.push(value);
    }

    pub(super) fn local_set(&mut self, index: u32) {
        let value = self.pop();
        let value = self.canonical(value);
        if self.frame_locals.is_some() {
            return self.store_local(index as usize, value);
        }
        let variable = self.local(index);
        self.b.def_var(variable, value);
    }

    pub(super) fn local_tee(&mut self, index: u32) {
        self.local_set(index);
        self.local_get(index);
    }

    pub(super) fn select(&mut self) {
        let condition = self.pop_condition();
        let (x, y) = self.pop2();
        let (x, y) = (self.canonical(x), self.canonical(y));
        let value = self.b.ins().select(condition, x, y);
        self.push(value);
    }
}
