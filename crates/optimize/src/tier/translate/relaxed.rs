//! Relaxed vector instructions: the fastest choice of the processor where the specification leaves one.
//!
//! | instruction | on x86-64 | deterministic |
//! |---|---|---|
//! | swizzle | an index from 16 to 127 counts modulo 16 | such an index gives zero |
//! | madd, nmadd | one rounding if there is an instruction for it | two roundings |
//! | min, max | the first operand if neither is less | as `min` and `max` |
//! | laneselect | the highest bit of a lane decides | each bit decides |
//! | trunc | the smallest integer if none fits | the nearest integer, 0 for NaN |
//! | q15mulr | the smallest integer is its own square | the square saturates |
//! | dot | bytes of the second operand are unsigned | they are signed |
//!
//! Each instruction makes the same choice for all lane types, as the specification requires.

use super::translator::Translator;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use wasmparser::Operator;

impl Translator<'_> {
    // A flat table of opcodes.
    pub(super) fn simd_relaxed(&mut self, op: &Operator<'_>) -> bool {
        let value = match op {
            Operator::I8x16RelaxedSwizzle => self.relaxed_swizzle(),
            Operator::I32x4RelaxedTruncF32x4S => self.relaxed_trunc(),
            Operator::I32x4RelaxedTruncF32x4U => {
                let x = self.pop_lanes(F32X4);
                self.b.ins().fcvt_to_uint_sat(I32X4, x)
            }
            Operator::I32x4RelaxedTruncF64x2SZero => self.relaxed_trunc_zero(),
            Operator::I32x4RelaxedTruncF64x2UZero => {
                let x = self.pop_lanes(F64X2);
                let wide = self.b.ins().fcvt_to_uint_sat(I64X2, x);
                let zero = self.vconst(I64X2, [0; 16]);
                self.b.ins().uunarrow(wide, zero)
            }
            Operator::F32x4RelaxedMadd => self.relaxed_madd(F32X4, false),
            Operator::F32x4RelaxedNmadd => self.relaxed_madd(F32X4, true),
            Operator::F64x2RelaxedMadd => self.relaxed_madd(F64X2, false),
            Operator::F64x2RelaxedNmadd => self.relaxed_madd(F64X2, true),
            Operator::I8x16RelaxedLaneselect => self.relaxed_laneselect(I8X16),
            Operator::I16x8RelaxedLaneselect => self.relaxed_laneselect(I16X8),
            Operator::I32x4RelaxedLaneselect => self.relaxed_laneselect(I32X4),
            Operator::I64x2RelaxedLaneselect => self.relaxed_laneselect(I64X2),
            Operator::F32x4RelaxedMin => self.relaxed_extreme(F32X4, FloatCC::LessThan),
            Operator::F32x4RelaxedMax => self.relaxed_extreme(F32X4, FloatCC::GreaterThan),
            Operator::F64x2RelaxedMin => self.relaxed_extreme(F64X2, FloatCC::LessThan),
            Operator::F64x2RelaxedMax => self.relaxed_extreme(F64X2, FloatCC::GreaterThan),
            Operator::I16x8RelaxedQ15mulrS => {
                let (x, y) = self.pop2_lanes(I16X8);
                match self.is_deterministic() {
                    true => self.b.ins().sqmul_round_sat(x, y),
                    false => self.b.ins().x86_pmulhrsw(x, y),
                }
            }
            Operator::I16x8RelaxedDotI8x16I7x16S => {
                let (x, y) = self.pop2_lanes(I8X16);
                self.relaxed_dot(x, y)
            }
            Operator::I32x4RelaxedDotI8x16I7x16AddS => {
                let sum = self.pop_lanes(I32X4);
                let (x, y) = self.pop2_lanes(I8X16);
                let dot = self.relaxed_dot(x, y);
                let (low, high) = (self.b.ins().swiden_low(dot), self.b.ins().swiden_high(dot));
                let pairs = self.b.ins().iadd_pairwise(low, high);
                self.b.ins().iadd(pairs, sum)
            }
            _ => return false,
        };
        self.push(value);
        true
    }

    fn is_deterministic(&self) -> bool {
        self.plan.tunables.deterministic_relaxed_simd
    }

    fn relaxed_swizzle(&mut self) -> Value {
        let (x, y) = self.pop2_lanes(I8X16);
        match self.is_deterministic() {
            true => self.b.ins().swizzle(x, y),
            false => self.b.ins().x86_pshufb(x, y),
        }
    }

    fn relaxed_trunc(&mut self) -> Value {
        let x = self.pop_lanes(F32X4);
        match self.is_deterministic() {
            true => self.b.ins().fcvt_to_sint_sat(I32X4, x),
            false => self.b.ins().x86_cvtt2dq(I32X4, x),
        }
    }

    fn relaxed_trunc_zero(&mut self) -> Value {
        let x = self.pop_lanes(F64X2);
        let wide = match self.is_deterministic() {
            true => self.b.ins().fcvt_to_sint_sat(I64X2, x),
            false => self.b.ins().x86_cvtt2dq(I64X2, x),
        };
        // Created with these lanes: both are a single instruction only in this form.
        let zero = self.vconst(I64X2, [0; 16]);
        self.b.ins().snarrow(wide, zero)
    }

    fn relaxed_madd(&mut self, ty: Type, negate: bool) -> Value {
        let z = self.pop_lanes(ty);
        let (x, y) = self.pop2_lanes(ty);
        let x = if negate { self.b.ins().fneg(x) } else { x };
        if self.native_fma && !self.is_deterministic() {
            return self.b.ins().fma(x, y, z);
        }
        let product = self.b.ins().fmul(x, y);
        self.b.ins().fadd(product, z)
    }

    fn relaxed_laneselect(&mut self, ty: Type) -> Value {
        let mask = self.pop_lanes(ty);
        let (x, y) = self.pop2_lanes(ty);
        if self.is_deterministic() {
            return self.b.ins().bitselect(mask, x, y);
        }
        if ty != I16X8 {
            return self.b.ins().blendv(mask, x, y);
        }
        // The processor selects by bytes, not by pairs of bytes.
        let mask = self.b.ins().sshr_imm_u(mask, 15);
        let [mask, x, y] = [mask, x, y].map(|v| self.lanes(I8X16, v));
        self.b.ins().blendv(mask, x, y)
    }

    fn relaxed_extreme(&mut self, ty: Type, condition: FloatCC) -> Value {
        if !self.is_deterministic() {
            self.pseudo_min_max(ty, condition);
            return self.pop();
        }
        let (x, y) = self.pop2_lanes(ty);
        match condition {
            FloatCC::LessThan => self.b.ins().fmin(x, y),
            _ => self.b.ins().fmax(x, y),
        }
    }

    /// Multiplies bytes and adds adjacent products; sums saturate.
    fn relaxed_dot(&mut self, x: Value, y: Value) -> Value {
        if !self.is_deterministic() {
            return self.b.ins().x86_pmaddubsw(x, y);
        }
        let (x_low, y_low) = (self.b.ins().swiden_low(x), self.b.ins().swiden_low(y));
        let (x_high, y_high) = (self.b.ins().swiden_high(x), self.b.ins().swiden_high(y));
        let (low, high) = (self.b.ins().imul(x_low, y_low), self.b.ins().imul(x_high, y_high));
        let sums = self.b.ins().iadd_pairwise(low, high);
        // Only one sum is too large. It wraps to the smallest integer, which no other sum equals; subtracting one gives
        // the largest.
        let smallest = self.vconst(I16X8, std::array::from_fn(|i| if i % 2 == 1 { 0x80 } else { 0 }));
        let wrapped = self.b.ins().icmp(IntCC::Equal, sums, smallest);
        self.b.ins().iadd(sums, wrapped)
    }
}
