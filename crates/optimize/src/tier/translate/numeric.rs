//! Scalar numeric instructions: one arm each.

use super::translator::Translator;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Type, Value, types};
use wasmparser::Operator;

/// Pops one value and pushes the result of an instruction.
macro_rules! unary {
    ($t:ident.$method:ident) => {{
        let x = $t.pop();
        let value = $t.b.ins().$method(x);
        $t.push(value);
    }};
    ($t:ident.$method:ident($ty:expr)) => {{
        let x = $t.pop();
        let value = $t.b.ins().$method($ty, x);
        $t.push(value);
    }};
}

/// Pops two values and pushes the result of an instruction.
macro_rules! binary {
    ($t:ident.$method:ident) => {{
        let (x, y) = $t.pop2();
        let value = $t.b.ins().$method(x, y);
        $t.push(value);
    }};
}

impl Translator<'_> {
    pub(super) fn numeric(&mut self, op: &Operator<'_>) -> bool {
        self.constants(op) || self.integer(op) || self.comparison(op) || self.float(op) || self.conversion(op)
    }

    fn constants(&mut self, op: &Operator<'_>) -> bool {
        let value = match *op {
            Operator::I32Const { value } => self.i32_const(value as u32),
            Operator::I64Const { value } => self.i64_const(value as u64),
            Operator::F32Const { value } => self.b.ins().f32const(Ieee32::with_bits(value.bits())),
            Operator::F64Const { value } => self.b.ins().f64const(Ieee64::with_bits(value.bits())),
            _ => return false,
        };
        self.push(value);
        true
    }

    // A flat table of opcodes.
    fn integer(&mut self, op: &Operator<'_>) -> bool {
        match op {
            Operator::I32Add | Operator::I64Add => binary!(self.iadd),
            Operator::I32Sub | Operator::I64Sub => binary!(self.isub),
            Operator::I32Mul | Operator::I64Mul => binary!(self.imul),
            Operator::I32DivS | Operator::I64DivS => binary!(self.sdiv),
            Operator::I32DivU | Operator::I64DivU => binary!(self.udiv),
            Operator::I32RemS | Operator::I64RemS => binary!(self.srem),
            Operator::I32RemU | Operator::I64RemU => binary!(self.urem),
            Operator::I32And | Operator::I64And => binary!(self.band),
            Operator::I32Or | Operator::I64Or => binary!(self.bor),
            Operator::I32Xor | Operator::I64Xor => binary!(self.bxor),
            Operator::I32Shl | Operator::I64Shl => binary!(self.ishl),
            Operator::I32ShrS | Operator::I64ShrS => binary!(self.sshr),
            Operator::I32ShrU | Operator::I64ShrU => binary!(self.ushr),
            Operator::I32Rotl | Operator::I64Rotl => binary!(self.rotl),
            Operator::I32Rotr | Operator::I64Rotr => binary!(self.rotr),
            Operator::I32Clz | Operator::I64Clz => unary!(self.clz),
            Operator::I32Ctz | Operator::I64Ctz => unary!(self.ctz),
            Operator::I32Popcnt | Operator::I64Popcnt => unary!(self.popcnt),
            Operator::I32Extend8S => self.sign_extend(types::I8, types::I32),
            Operator::I32Extend16S => self.sign_extend(types::I16, types::I32),
            Operator::I64Extend8S => self.sign_extend(types::I8, types::I64),
            Operator::I64Extend16S => self.sign_extend(types::I16, types::I64),
            Operator::I64Extend32S => self.sign_extend(types::I32, types::I64),
            _ => return false,
        }
        true
    }

    // A flat table of opcodes.
    fn comparison(&mut self, op: &Operator<'_>) -> bool {
        match op {
            Operator::I32Eqz | Operator::I64Eqz => {
                let x = self.pop();
                let value = self.b.ins().icmp_imm_u(IntCC::Equal, x, 0);
                self.push_bool(value);
            }
            Operator::I32Eq | Operator::I64Eq => self.icmp(IntCC::Equal),
            Operator::I32Ne | Operator::I64Ne => self.icmp(IntCC::NotEqual),
            Operator::I32LtS | Operator::I64LtS => self.icmp(IntCC::SignedLessThan),
            Operator::I32LtU | Operator::I64LtU => self.icmp(IntCC::UnsignedLessThan),
            Operator::I32GtS | Operator::I64GtS => self.icmp(IntCC::SignedGreaterThan),
            Operator::I32GtU | Operator::I64GtU => self.icmp(IntCC::UnsignedGreaterThan),
            Operator::I32LeS | Operator::I64LeS => self.icmp(IntCC::SignedLessThanOrEqual),
            Operator::I32LeU | Operator::I64LeU => self.icmp(IntCC::UnsignedLessThanOrEqual),
            Operator::I32GeS | Operator::I64GeS => self.icmp(IntCC::SignedGreaterThanOrEqual),
            Operator::I32GeU | Operator::I64GeU => self.icmp(IntCC::UnsignedGreaterThanOrEqual),
            Operator::F32Eq | Operator::F64Eq => self.fcmp(FloatCC::Equal),
            Operator::F32Ne | Operator::F64Ne => self.fcmp(FloatCC::NotEqual),
            Operator::F32Lt | Operator::F64Lt => self.fcmp(FloatCC::LessThan),
            Operator::F32Gt | Operator::F64Gt => self.fcmp(FloatCC::GreaterThan),
            Operator::F32Le | Operator::F64Le => self.fcmp(FloatCC::LessThanOrEqual),
            Operator::F32Ge | Operator::F64Ge => self.fcmp(FloatCC::GreaterThanOrEqual),
            _ => return false,
        }
        true
    }

    // A flat table of opcodes.
    fn float(&mut self, op: &Operator<'_>) -> bool {
        match op {
            Operator::F32Abs | Operator::F64Abs => unary!(self.fabs),
            Operator::F32Neg | Operator::F64Neg => unary!(self.fneg),
            Operator::F32Ceil | Operator::F64Ceil => unary!(self.ceil),
            Operator::F32Floor | Operator::F64Floor => unary!(self.floor),
            Operator::F32Trunc | Operator::F64Trunc => unary!(self.trunc),
            Operator::F32Nearest | Operator::F64Nearest => unary!(self.nearest),
            Operator::F32Sqrt | Operator::F64Sqrt => unary!(self.sqrt),
            Operator::F32Add | Operator::F64Add => binary!(self.fadd),
            Operator::F32Sub | Operator::F64Sub => binary!(self.fsub),
            Operator::F32Mul | Operator::F64Mul => binary!(self.fmul),
            Operator::F32Div | Operator::F64Div => binary!(self.fdiv),
            Operator::F32Min | Operator::F64Min => binary!(self.fmin),
            Operator::F32Max | Operator::F64Max => binary!(self.fmax),
            Operator::F32Copysign | Operator::F64Copysign => binary!(self.fcopysign),
            _ => return false,
        }
        true
    }

    // A flat table of opcodes.
    fn conversion(&mut self, op: &Operator<'_>) -> bool {
        use types::{F32, F64, I32, I64};
        match op {
            Operator::I32WrapI64 => unary!(self.ireduce(I32)),
            Operator::I64ExtendI32S => unary!(self.sextend(I64)),
            Operator::I64ExtendI32U => unary!(self.uextend(I64)),
            Operator::I32TruncF32S | Operator::I32TruncF64S => unary!(self.fcvt_to_sint(I32)),
            Operator::I32TruncF32U | Operator::I32TruncF64U => unary!(self.fcvt_to_uint(I32)),
            Operator::I64TruncF32S | Operator::I64TruncF64S => unary!(self.fcvt_to_sint(I64)),
            Operator::I64TruncF32U | Operator::I64TruncF64U => unary!(self.fcvt_to_uint(I64)),
            Operator::I32TruncSatF32S | Operator::I32TruncSatF64S => unary!(self.fcvt_to_sint_sat(I32)),
            Operator::I32TruncSatF32U | Operator::I32TruncSatF64U => unary!(self.fcvt_to_uint_sat(I32)),
            Operator::I64TruncSatF32S | Operator::I64TruncSatF64S => unary!(self.fcvt_to_sint_sat(I64)),
            Operator::I64TruncSatF32U | Operator::I64TruncSatF64U => unary!(self.fcvt_to_uint_sat(I64)),
            Operator::F32ConvertI32S | Operator::F32ConvertI64S => unary!(self.fcvt_from_sint(F32)),
            Operator::F32ConvertI32U | Operator::F32ConvertI64U => unary!(self.fcvt_from_uint(F32)),
            Operator::F64ConvertI32S | Operator::F64ConvertI64S => unary!(self.fcvt_from_sint(F64)),
            Operator::F64ConvertI32U | Operator::F64ConvertI64U => unary!(self.fcvt_from_uint(F64)),
            Operator::F32DemoteF64 => unary!(self.fdemote(F32)),
            Operator::F64PromoteF32 => unary!(self.fpromote(F64)),
            Operator::I32ReinterpretF32 => self.reinterpret(I32),
            Operator::I64ReinterpretF64 => self.reinterpret(I64),
            Operator::F32ReinterpretI32 => self.reinterpret(F32),
            Operator::F64ReinterpretI64 => self.reinterpret(F64),
            _ => return false,
        }
        true
    }

    /// Pushes a comparison's byte as an `i32`.
    pub(super) fn push_bool(&mut self, value: Value) {
        let value = self.b.ins().uextend(types::I32, value);
        self.push(value);
    }

    fn icmp(&mut self, condition: IntCC) {
        let (x, y) = self.pop2();
        let value = self.b.ins().icmp(condition, x, y);
        self.push_bool(value);
    }

    fn fcmp(&mut self, condition: FloatCC) {
        let (x, y) = self.pop2();
        let value = self.b.ins().fcmp(condition, x, y);
        self.push_bool(value);
    }

    fn sign_extend(&mut self, from: Type, to: Type) {
        let x = self.pop();
        let low = self.b.ins().ireduce(from, x);
        let value = self.b.ins().sextend(to, low);
        self.push(value);
    }

    fn reinterpret(&mut self, ty: Type) {
        let x = self.pop();
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        let value = self.b.ins().bitcast(ty, flags, x);
        self.push(value);
    }
}
