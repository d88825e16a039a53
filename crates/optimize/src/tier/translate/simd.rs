//! Vector instructions: constants, lanes, bits and comparisons.

use super::translator::Translator;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{ConstantData, InstBuilder, Type, Value, types};
use wasmparser::Operator;

impl Translator<'_> {
    pub(super) fn simd(&mut self, op: &Operator<'_>) -> bool {
        let done = self.simd_memory(op)
            || self.simd_lanes(op)
            || self.simd_bits(op)
            || self.simd_integer_comparison(op)
            || self.simd_float_comparison(op)
            || self.simd_arithmetic(op)
            || self.simd_relaxed(op);
        self.vectors |= done;
        done
    }

    /// Pops a vector with lanes of this type.
    pub(super) fn pop_lanes(&mut self, ty: Type) -> Value {
        let value = self.pop();
        self.lanes(ty, value)
    }

    /// Pops two vectors with lanes of this type, the deeper one first.
    pub(super) fn pop2_lanes(&mut self, ty: Type) -> (Value, Value) {
        let y = self.pop_lanes(ty);
        (self.pop_lanes(ty), y)
    }

    // A flat table of opcodes.
    fn simd_lanes(&mut self, op: &Operator<'_>) -> bool {
        match *op {
            Operator::V128Const { value } => {
                let value = self.v128_const(*value.bytes());
                self.push(value);
            }
            Operator::I8x16Splat => self.splat(I8X16),
            Operator::I16x8Splat => self.splat(I16X8),
            Operator::I32x4Splat => self.splat(I32X4),
            Operator::I64x2Splat => self.splat(I64X2),
            Operator::F32x4Splat => self.splat(F32X4),
            Operator::F64x2Splat => self.splat(F64X2),
            Operator::I8x16ExtractLaneS { lane } => self.extract_small(I8X16, lane, true),
            Operator::I8x16ExtractLaneU { lane } => self.extract_small(I8X16, lane, false),
            Operator::I16x8ExtractLaneS { lane } => self.extract_small(I16X8, lane, true),
            Operator::I16x8ExtractLaneU { lane } => self.extract_small(I16X8, lane, false),
            Operator::I32x4ExtractLane { lane } => self.extract(I32X4, lane),
            Operator::I64x2ExtractLane { lane } => self.extract(I64X2, lane),
            Operator::F32x4ExtractLane { lane } => self.extract(F32X4, lane),
            Operator::F64x2ExtractLane { lane } => self.extract(F64X2, lane),
            Operator::I8x16ReplaceLane { lane } => self.replace(I8X16, lane),
            Operator::I16x8ReplaceLane { lane } => self.replace(I16X8, lane),
            Operator::I32x4ReplaceLane { lane } => self.replace(I32X4, lane),
            Operator::I64x2ReplaceLane { lane } => self.replace(I64X2, lane),
            Operator::F32x4ReplaceLane { lane } => self.replace(F32X4, lane),
            Operator::F64x2ReplaceLane { lane } => self.replace(F64X2, lane),
            Operator::I8x16Shuffle { lanes } => self.shuffle(lanes),
            Operator::I8x16Swizzle => {
                let (x, y) = self.pop2_lanes(I8X16);
                let value = self.b.ins().swizzle(x, y);
                self.push(value);
            }
            _ => return false,
        }
        true
    }

    /// Pops a scalar as a lane: the low bits of an `i32` for smaller lanes.
    fn pop_lane(&mut self, ty: Type) -> Value {
        let scalar = self.pop();
        match ty.lane_type() {
            lane @ (types::I8 | types::I16) => self.b.ins().ireduce(lane, scalar),
            _ => scalar,
        }
    }

    fn splat(&mut self, ty: Type) {
        let lane = self.pop_lane(ty);
        let value = self.b.ins().splat(ty, lane);
        self.push(value);
    }

    fn extract(&mut self, ty: Type, lane: u8) {
        let vector = self.pop_lanes(ty);
        let value = self.b.ins().extractlane(vector, lane);
        self.push(value);
    }

    fn extract_small(&mut self, ty: Type, lane: u8, signed: bool) {
        let vector = self.pop_lanes(ty);
        let small = self.b.ins().extractlane(vector, lane);
        let value = if signed {
            self.b.ins().sextend(types::I32, small)
        } else {
            self.b.ins().uextend(types::I32, small)
        };
        self.push(value);
    }

    fn replace(&mut self, ty: Type, lane: u8) {
        let scalar = self.pop_lane(ty);
        let vector = self.pop_lanes(ty);
        let value = self.b.ins().insertlane(vector, scalar, lane);
        self.push(value);
    }

    fn shuffle(&mut self, lanes: [u8; 16]) {
        let (x, y) = self.pop2_lanes(I8X16);
        let mask = self.b.func.dfg.immediates.push(ConstantData::from(lanes.as_slice()));
        let value = self.b.ins().shuffle(x, y, mask);
        self.push(value);
    }

    // A flat table of opcodes.
    fn simd_bits(&mut self, op: &Operator<'_>) -> bool {
        match op {
            Operator::V128Not => {
                let x = self.pop_lanes(I8X16);
                let value = self.b.ins().bnot(x);
                self.push(value);
            }
            Operator::V128And | Operator::V128AndNot | Operator::V128Or | Operator::V128Xor => {
                let (x, y) = self.pop2_lanes(I8X16);
                let value = match op {
                    Operator::V128And => self.b.ins().band(x, y),
                    Operator::V128AndNot => self.b.ins().band_not(x, y),
                    Operator::V128Or => self.b.ins().bor(x, y),
                    _ => self.b.ins().bxor(x, y),
                };
                self.push(value);
            }
            Operator::V128Bitselect => {
                let mask = self.pop_lanes(I8X16);
                let (x, y) = self.pop2_lanes(I8X16);
                let value = self.b.ins().bitselect(mask, x, y);
                self.push(value);
            }
            Operator::V128AnyTrue => {
                let x = self.pop();
                let value = self.b.ins().vany_true(x);
                self.push_bool(value);
            }
            Operator::I8x16AllTrue => self.all_true(I8X16),
            Operator::I16x8AllTrue => self.all_true(I16X8),
            Operator::I32x4AllTrue => self.all_true(I32X4),
            Operator::I64x2AllTrue => self.all_true(I64X2),
            Operator::I8x16Bitmask => self.bitmask(I8X16),
            Operator::I16x8Bitmask => self.bitmask(I16X8),
            Operator::I32x4Bitmask => self.bitmask(I32X4),
            Operator::I64x2Bitmask => self.bitmask(I64X2),
            _ => return false,
        }
        true
    }

    fn all_true(&mut self, ty: Type) {
        let x = self.pop_lanes(ty);
        let value = self.b.ins().vall_true(x);
        self.push_bool(value);
    }

    fn bitmask(&mut self, ty: Type) {
        let x = self.pop_lanes(ty);
        let value = self.b.ins().vhigh_bits(types::I32, x);
        self.push(value);
    }

    // A flat table of opcodes.
    fn simd_integer_comparison(&mut self, op: &Operator<'_>) -> bool {
        use IntCC::{
            Equal, NotEqual, SignedGreaterThan, SignedGreaterThanOrEqual, SignedLessThan,
            SignedLessThanOrEqual, UnsignedGreaterThan, UnsignedGreaterThanOrEqual, UnsignedLessThan,
            UnsignedLessThanOrEqual,
        };
        match op {
            Operator::I8x16Eq => self.vicmp(I8X16, Equal),
            Operator::I8x16Ne => self.vicmp(I8X16, NotEqual),
            Operator::I8x16LtS => self.vicmp(I8X16, SignedLessThan),
            Operator::I8x16LtU => self.vicmp(I8X16, UnsignedLessThan),
            Operator::I8x16GtS => self.vicmp(I8X16, SignedGreaterThan),
            Operator::I8x16GtU => self.vicmp(I8X16, UnsignedGreaterThan),
            Operator::I8x16LeS => self.vicmp(I8X16, SignedLessThanOrEqual),
            Operator::I8x16LeU => self.vicmp(I8X16, UnsignedLessThanOrEqual),
            Operator::I8x16GeS => self.vicmp(I8X16, SignedGreaterThanOrEqual),
            Operator::I8x16GeU => self.vicmp(I8X16, UnsignedGreaterThanOrEqual),
            Operator::I16x8Eq => self.vicmp(I16X8, Equal),
            Operator::I16x8Ne => self.vicmp(I16X8, NotEqual),
            Operator::I16x8LtS => self.vicmp(I16X8, SignedLessThan),
            Operator::I16x8LtU => self.vicmp(I16X8, UnsignedLessThan),
            Operator::I16x8GtS => self.vicmp(I16X8, SignedGreaterThan),
            Operator::I16x8GtU => self.vicmp(I16X8, UnsignedGreaterThan),
            Operator::I16x8LeS => self.vicmp(I16X8, SignedLessThanOrEqual),
            Operator::I16x8LeU => self.vicmp(I16X8, UnsignedLessThanOrEqual),
            Operator::I16x8GeS => self.vicmp(I16X8, SignedGreaterThanOrEqual),
            Operator::I16x8GeU => self.vicmp(I16X8, UnsignedGreaterThanOrEqual),
            Operator::I32x4Eq => self.vicmp(I32X4, Equal),
            Operator::I32x4Ne => self.vicmp(I32X4, NotEqual),
            Operator::I32x4LtS => self.vicmp(I32X4, SignedLessThan),
            Operator::I32x4LtU => self.vicmp(I32X4, UnsignedLessThan),
            Operator::I32x4GtS => self.vicmp(I32X4, SignedGreaterThan),
            Operator::I32x4GtU => self.vicmp(I32X4, UnsignedGreaterThan),
            Operator::I32x4LeS => self.vicmp(I32X4, SignedLessThanOrEqual),
            Operator::I32x4LeU => self.vicmp(I32X4, UnsignedLessThanOrEqual),
            Operator::I32x4GeS => self.vicmp(I32X4, SignedGreaterThanOrEqual),
            Operator::I32x4GeU => self.vicmp(I32X4, UnsignedGreaterThanOrEqual),
            Operator::I64x2Eq => self.vicmp(I64X2, Equal),
            Operator::I64x2Ne => self.vicmp(I64X2, NotEqual),
            Operator::I64x2LtS => self.vicmp(I64X2, SignedLessThan),
            Operator::I64x2GtS => self.vicmp(I64X2, SignedGreaterThan),
            Operator::I64x2LeS => self.vicmp(I64X2, SignedLessThanOrEqual),
            Operator::I64x2GeS => self.vicmp(I64X2, SignedGreaterThanOrEqual),
            _ => return false,
        }
        true
    }

    // A flat table of opcodes.
    fn simd_float_comparison(&mut self, op: &Operator<'_>) -> bool {
        use FloatCC::{Equal, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual, NotEqual};
        match op {
            Operator::F32x4Eq => self.vfcmp(F32X4, Equal),
            Operator::F32x4Ne => self.vfcmp(F32X4, NotEqual),
            Operator::F32x4Lt => self.vfcmp(F32X4, LessThan),
            Operator::F32x4Gt => self.vfcmp(F32X4, GreaterThan),
            Operator::F32x4Le => self.vfcmp(F32X4, LessThanOrEqual),
            Operator::F32x4Ge => self.vfcmp(F32X4, GreaterThanOrEqual),
            Operator::F64x2Eq => self.vfcmp(F64X2, Equal),
            Operator::F64x2Ne => self.vfcmp(F64X2, NotEqual),
            Operator::F64x2Lt => self.vfcmp(F64X2, LessThan),
            Operator::F64x2Gt => self.vfcmp(F64X2, GreaterThan),
            Operator::F64x2Le => self.vfcmp(F64X2, LessThanOrEqual),
            Operator::F64x2Ge => self.vfcmp(F64X2, GreaterThanOrEqual),
            _ => return false,
        }
        true
    }

    fn vicmp(&mut self, ty: Type, condition: IntCC) {
        let (x, y) = self.pop2_lanes(ty);
        let value = self.b.ins().icmp(condition, x, y);
        self.push(value);
    }

    fn vfcmp(&mut self, ty: Type, condition: FloatCC) {
        let (x, y) = self.pop2_lanes(ty);
        let value = self.b.ins().fcmp(condition, x, y);
        self.push(value);
    }
}
