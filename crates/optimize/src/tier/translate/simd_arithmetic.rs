//! Vector arithmetic and conversions.

use super::translator::Translator;
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use wasmparser::Operator;

/// Pops one vector with lanes of a type and pushes the result of an instruction.
macro_rules! unary {
    ($t:ident.$method:ident, $ty:expr) => {{
        let x = $t.pop_lanes($ty);
        let value = $t.b.ins().$method(x);
        $t.push(value);
    }};
    ($t:ident.$method:ident($to:expr), $ty:expr) => {{
        let x = $t.pop_lanes($ty);
        let value = $t.b.ins().$method($to, x);
        $t.push(value);
    }};
}

/// Pops two vectors with lanes of a type and pushes the result of an instruction.
macro_rules! binary {
    ($t:ident.$method:ident, $ty:expr) => {{
        let (x, y) = $t.pop2_lanes($ty);
        let value = $t.b.ins().$method(x, y);
        $t.push(value);
    }};
}

/// Pops a shift distance and a vector. Lanes shift by the distance modulo their width, in CLIF as in wasm.
macro_rules! shift {
    ($t:ident.$method:ident, $ty:expr) => {{
        let distance = $t.pop();
        let x = $t.pop_lanes($ty);
        let value = $t.b.ins().$method(x, distance);
        $t.push(value);
    }};
}

/// Widens and multiplies one half of the lanes.
macro_rules! extended_multiply {
    ($t:ident.$widen:ident, $ty:expr) => {{
        let (x, y) = $t.pop2_lanes($ty);
        let (x, y) = ($t.b.ins().$widen(x), $t.b.ins().$widen(y));
        let value = $t.b.ins().imul(x, y);
        $t.push(value);
    }};
}

/// Widens and adds adjacent lanes.
macro_rules! extended_pairs {
    ($t:ident.$low:ident, $high:ident, $ty:expr) => {{
        let x = $t.pop_lanes($ty);
        let (low, high) = ($t.b.ins().$low(x), $t.b.ins().$high(x));
        let value = $t.b.ins().iadd_pairwise(low, high);
        $t.push(value);
    }};
}

impl Translator<'_> {
    pub(super) fn simd_arithmetic(&mut self, op: &Operator<'_>) -> bool {
        self.simd_i8x16(op)
            || self.simd_i16x8(op)
            || self.simd_i32x4(op)
            || self.simd_i64x2(op)
            || self.simd_float(op)
            || self.simd_conversion(op)
    }

    // A flat table of opcodes.
    fn simd_i8x16(&mut self, op: &Operator<'_>) -> bool {
        match op {
            Operator::I8x16Abs => unary!(self.iabs, I8X16),
            Operator::I8x16Neg => unary!(self.ineg, I8X16),
            Operator::I8x16Popcnt => unary!(self.popcnt, I8X16),
            Operator::I8x16NarrowI16x8S => binary!(self.snarrow, I16X8),
            Operator::I8x16NarrowI16x8U => binary!(self.unarrow, I16X8),
            Operator::I8x16Shl => shift!(self.ishl, I8X16),
            Operator::I8x16ShrS => shift!(self.sshr, I8X16),
            Operator::I8x16ShrU => shift!(self.ushr, I8X16),
            Operator::I8x16Add => binary!(self.iadd, I8X16),
            Operator::I8x16AddSatS => binary!(self.sadd_sat, I8X16),
            Operator::I8x16AddSatU => binary!(self.uadd_sat, I8X16),
            Operator::I8x16Sub => binary!(self.isub, I8X16),
            Operator::I8x16SubSatS => binary!(self.ssub_sat, I8X16),
            Operator::I8x16SubSatU => binary!(self.usub_sat, I8X16),
            Operator::I8x16MinS => binary!(self.smin, I8X16),
            Operator::I8x16MinU => binary!(self.umin, I8X16),
            Operator::I8x16MaxS => binary!(self.smax, I8X16),
            Operator::I8x16MaxU => binary!(self.umax, I8X16),
            Operator::I8x16AvgrU => binary!(self.avg_round, I8X16),
            _ => return false,
        }
        true
    }

    // A flat table of opcodes.
    fn simd_i16x8(&mut self, op: &Operator<'_>) -> bool {
        match op {
            Operator::I16x8Abs => unary!(self.iabs, I16X8),
            Operator::I16x8Neg => unary!(self.ineg, I16X8),
            Operator::I16x8NarrowI32x4S => binary!(self.snarrow, I32X4),
            Operator::I16x8NarrowI32x4U => binary!(self.unarrow, I32X4),
            Operator::I16x8ExtendLowI8x16S => unary!(self.swiden_low, I8X16),
            Operator::I16x8ExtendHighI8x16S => unary!(self.swiden_high, I8X16),
            Operator::I16x8ExtendLowI8x16U => unary!(self.uwiden_low, I8X16),
            Operator::I16x8ExtendHighI8x16U => unary!(self.uwiden_high, I8X16),
            Operator::I16x8Shl => shift!(self.ishl, I16X8),
            Operator::I16x8ShrS => shift!(self.sshr, I16X8),
            Operator::I16x8ShrU => shift!(self.ushr, I16X8),
            Operator::I16x8Add => binary!(self.iadd, I16X8),
            Operator::I16x8AddSatS => binary!(self.sadd_sat, I16X8),
            Operator::I16x8AddSatU => binary!(self.uadd_sat, I16X8),
            Operator::I16x8Sub => binary!(self.isub, I16X8),
            Operator::I16x8SubSatS => binary!(self.ssub_sat, I16X8),
            Operator::I16x8SubSatU => binary!(self.usub_sat, I16X8),
            Operator::I16x8Mul => binary!(self.imul, I16X8),
            Operator::I16x8MinS => binary!(self.smin, I16X8),
            Operator::I16x8MinU => binary!(self.umin, I16X8),
            Operator::I16x8MaxS => binary!(self.smax, I16X8),
            Operator::I16x8MaxU => binary!(self.umax, I16X8),
            Operator::I16x8AvgrU => binary!(self.avg_round, I16X8),
            Operator::I16x8Q15MulrSatS => binary!(self.sqmul_round_sat, I16X8),
            Operator::I16x8ExtAddPairwiseI8x16S => extended_pairs!(self.swiden_low, swiden_high, I8X16),
            Operator::I16x8ExtAddPairwiseI8x16U => extended_pairs!(self.uwiden_low, uwiden_high, I8X16),
            Operator::I16x8ExtMulLowI8x16S => extended_multiply!(self.swiden_low, I8X16),
            Operator::I16x8ExtMulHighI8x16S => extended_multiply!(self.swiden_high, I8X16),
            Operator::I16x8ExtMulLowI8x16U => extended_multiply!(self.uwiden_low, I8X16),
            Operator::I16x8ExtMulHighI8x16U => extended_multiply!(self.uwiden_high, I8X16),
            _ => return false,
        }
        true
    }

    // A flat table of opcodes.
    fn simd_i32x4(&mut self, op: &Operator<'_>) -> bool {
        match op {
            Operator::I32x4Abs => unary!(self.iabs, I32X4),
            Operator::I32x4Neg => unary!(self.ineg, I32X4),
            Operator::I32x4ExtendLowI16x8S => unary!(self.swiden_low, I16X8),
            Operator::I32x4ExtendHighI16x8S => unary!(self.swiden_high, I16X8),
            Operator::I32x4ExtendLowI16x8U => unary!(self.uwiden_low, I16X8),
            Operator::I32x4ExtendHighI16x8U => unary!(self.uwiden_high, I16X8),
            Operator::I32x4Shl => shift!(self.ishl, I32X4),
            Operator::I32x4ShrS => shift!(self.sshr, I32X4),
            Operator::I32x4ShrU => shift!(self.ushr, I32X4),
            Operator::I32x4Add => binary!(self.iadd, I32X4),
            Operator::I32x4Sub => binary!(self.isub, I32X4),
            Operator::I32x4Mul => binary!(self.imul, I32X4),
            Operator::I32x4MinS => binary!(self.smin, I32X4),
            Operator::I32x4MinU => binary!(self.umin, I32X4),
            Operator::I32x4MaxS => binary!(self.smax, I32X4),
            Operator::I32x4MaxU => binary!(self.umax, I32X4),
            Operator::I32x4DotI16x8S => self.dot(),
            Operator::I32x4ExtAddPairwiseI16x8S => extended_pairs!(self.swiden_low, swiden_high, I16X8),
            Operator::I32x4ExtAddPairwiseI16x8U => extended_pairs!(self.uwiden_low, uwiden_high, I16X8),
            Operator::I32x4ExtMulLowI16x8S => extended_multiply!(self.swiden_low, I16X8),
            Operator::I32x4ExtMulHighI16x8S => extended_multiply!(self.swiden_high, I16X8),
            Operator::I32x4ExtMulLowI16x8U => extended_multiply!(self.uwiden_low, I16X8),
            Operator::I32x4ExtMulHighI16x8U => extended_multiply!(self.uwiden_high, I16X8),
            _ => return false,
        }
        true
    }

    // A flat table of opcodes.
    fn simd_i64x2(&mut self, op: &Operator<'_>) -> bool {
        match op {
            Operator::I64x2Abs => unary!(self.iabs, I64X2),
            Operator::I64x2Neg => unary!(self.ineg, I64X2),
            Operator::I64x2ExtendLowI32x4S => unary!(self.swiden_low, I32X4),
            Operator::I64x2ExtendHighI32x4S => unary!(self.swiden_high, I32X4),
            Operator::I64x2ExtendLowI32x4U => unary!(self.uwiden_low, I32X4),
            Operator::I64x2ExtendHighI32x4U => unary!(self.uwiden_high, I32X4),
            Operator::I64x2Shl => shift!(self.ishl, I64X2),
            Operator::I64x2ShrS => shift!(self.sshr, I64X2),
            Operator::I64x2ShrU => shift!(self.ushr, I64X2),
            Operator::I64x2Add => binary!(self.iadd, I64X2),
            Operator::I64x2Sub => binary!(self.isub, I64X2),
            Operator::I64x2Mul => binary!(self.imul, I64X2),
            Operator::I64x2ExtMulLowI32x4S => extended_multiply!(self.swiden_low, I32X4),
            Operator::I64x2ExtMulHighI32x4S => extended_multiply!(self.swiden_high, I32X4),
            Operator::I64x2ExtMulLowI32x4U => extended_multiply!(self.uwiden_low, I32X4),
            Operator::I64x2ExtMulHighI32x4U => extended_multiply!(self.uwiden_high, I32X4),
            _ => return false,
        }
        true
    }

    // A flat table of opcodes.
    fn simd_float(&mut self, op: &Operator<'_>) -> bool {
        match op {
            Operator::F32x4Ceil => unary!(self.ceil, F32X4),
            Operator::F32x4Floor => unary!(self.floor, F32X4),
            Operator::F32x4Trunc => unary!(self.trunc, F32X4),
            Operator::F32x4Nearest => unary!(self.nearest, F32X4),
            Operator::F32x4Abs => unary!(self.fabs, F32X4),
            Operator::F32x4Neg => unary!(self.fneg, F32X4),
            Operator::F32x4Sqrt => unary!(self.sqrt, F32X4),
            Operator::F32x4Add => binary!(self.fadd, F32X4),
            Operator::F32x4Sub => binary!(self.fsub, F32X4),
            Operator::F32x4Mul => binary!(self.fmul, F32X4),
            Operator::F32x4Div => binary!(self.fdiv, F32X4),
            Operator::F32x4Min => binary!(self.fmin, F32X4),
            Operator::F32x4Max => binary!(self.fmax, F32X4),
            Operator::F32x4PMin => self.pseudo_min_max(F32X4, FloatCC::LessThan),
            Operator::F32x4PMax => self.pseudo_min_max(F32X4, FloatCC::GreaterThan),
            Operator::F64x2Ceil => unary!(self.ceil, F64X2),
            Operator::F64x2Floor => unary!(self.floor, F64X2),
            Operator::F64x2Trunc => unary!(self.trunc, F64X2),
            Operator::F64x2Nearest => unary!(self.nearest, F64X2),
            Operator::F64x2Abs => unary!(self.fabs, F64X2),
            Operator::F64x2Neg => unary!(self.fneg, F64X2),
            Operator::F64x2Sqrt => unary!(self.sqrt, F64X2),
            Operator::F64x2Add => binary!(self.fadd, F64X2),
            Operator::F64x2Sub => binary!(self.fsub, F64X2),
            Operator::F64x2Mul => binary!(self.fmul, F64X2),
            Operator::F64x2Div => binary!(self.fdiv, F64X2),
            Operator::F64x2Min => binary!(self.fmin, F64X2),
            Operator::F64x2Max => binary!(self.fmax, F64X2),
            Operator::F64x2PMin => self.pseudo_min_max(F64X2, FloatCC::LessThan),
            Operator::F64x2PMax => self.pseudo_min_max(F64X2, FloatCC::GreaterThan),
            _ => return false,
        }
        true
    }

    // A flat table of opcodes.
    fn simd_conversion(&mut self, op: &Operator<'_>) -> bool {
        match op {
            Operator::F32x4ConvertI32x4S => unary!(self.fcvt_from_sint(F32X4), I32X4),
            Operator::F32x4ConvertI32x4U => unary!(self.fcvt_from_uint(F32X4), I32X4),
            Operator::I32x4TruncSatF32x4S => unary!(self.fcvt_to_sint_sat(I32X4), F32X4),
            Operator::I32x4TruncSatF32x4U => unary!(self.fcvt_to_uint_sat(I32X4), F32X4),
            Operator::F64x2PromoteLowF32x4 => unary!(self.fvpromote_low, F32X4),
            Operator::F32x4DemoteF64x2Zero => unary!(self.fvdemote, F64X2),
            Operator::F64x2ConvertLowI32x4S => {
                unary!(self.swiden_low, I32X4);
                unary!(self.fcvt_from_sint(F64X2), I64X2);
            }
            Operator::F64x2ConvertLowI32x4U => {
                unary!(self.uwiden_low, I32X4);
                unary!(self.fcvt_from_uint(F64X2), I64X2);
            }
            Operator::I32x4TruncSatF64x2SZero => {
                unary!(self.fcvt_to_sint_sat(I64X2), F64X2);
                self.push_zero_lanes(I64X2);
                binary!(self.snarrow, I64X2);
            }
            Operator::I32x4TruncSatF64x2UZero => {
                unary!(self.fcvt_to_uint_sat(I64X2), F64X2);
                self.push_zero_lanes(I64X2);
                binary!(self.uunarrow, I64X2);
            }
            _ => return false,
        }
        true
    }

    /// Pushes zeros with these lanes: the narrowing of a conversion is a single instruction only in this form.
    fn push_zero_lanes(&mut self, ty: Type) {
        let zero = self.vconst(ty, [0; 16]);
        self.push(zero);
    }

    /// Computes the minimum or maximum as C programs write it: the second value if it compares so with the first.
    pub(super) fn pseudo_min_max(&mut self, ty: Type, condition: FloatCC) {
        let (x, y) = self.pop2_lanes(ty);
        let better = self.b.ins().fcmp(condition, y, x);
        let better: Value = self.lanes(ty, better);
        let value = self.b.ins().bitselect(better, y, x);
        self.push(value);
    }

    /// Multiplies lanes and adds adjacent products, in the form that is recognised as one instruction.
    fn dot(&mut self) {
        let (x, y) = self.pop2_lanes(I16X8);
        let (x_low, y_low) = (self.b.ins().swiden_low(x), self.b.ins().swiden_low(y));
        let low = self.b.ins().imul(x_low, y_low);
        let (x_high, y_high) = (self.b.ins().swiden_high(x), self.b.ins().swiden_high(y));
        let high = self.b.ins().imul(x_high, y_high);
        let value = self.b.ins().iadd_pairwise(low, high);
        self.push(value);
    }
}
