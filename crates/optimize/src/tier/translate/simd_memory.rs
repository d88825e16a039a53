//! Vector loads and stores.

use super::translator::Translator;
use cranelift_codegen::ir::types::{I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type, types};
use wasmparser::{MemArg, Operator};

/// Loads eight bytes and widens each lane.
macro_rules! load_widened {
    ($t:ident, $method:ident, $arg:ident) => {{
        let place = $t.access_address($arg, 8);
        let value = $t.b.ins().$method(place.flags, place.address, place.offset);
        $t.push(value);
    }};
}

impl Translator<'_> {
    // A flat table of opcodes.
    pub(super) fn simd_memory(&mut self, op: &Operator<'_>) -> bool {
        use types::{I8, I16, I32, I64};
        match op {
            Operator::V128Load { memarg } => self.load(I8X16, memarg),
            Operator::V128Store { memarg } => self.store(16, memarg),
            Operator::V128Load8x8S { memarg } => load_widened!(self, sload8x8, memarg),
            Operator::V128Load8x8U { memarg } => load_widened!(self, uload8x8, memarg),
            Operator::V128Load16x4S { memarg } => load_widened!(self, sload16x4, memarg),
            Operator::V128Load16x4U { memarg } => load_widened!(self, uload16x4, memarg),
            Operator::V128Load32x2S { memarg } => load_widened!(self, sload32x2, memarg),
            Operator::V128Load32x2U { memarg } => load_widened!(self, uload32x2, memarg),
            Operator::V128Load8Splat { memarg } => self.load_splat(I8X16, memarg),
            Operator::V128Load16Splat { memarg } => self.load_splat(I16X8, memarg),
            Operator::V128Load32Splat { memarg } => self.load_splat(I32X4, memarg),
            Operator::V128Load64Splat { memarg } => self.load_splat(I64X2, memarg),
            Operator::V128Load32Zero { memarg } => self.load_zero(I32, I32X4, memarg),
            Operator::V128Load64Zero { memarg } => self.load_zero(I64, I64X2, memarg),
            Operator::V128Load8Lane { memarg, lane } => self.load_lane(I8, I8X16, *lane, memarg),
            Operator::V128Load16Lane { memarg, lane } => self.load_lane(I16, I16X8, *lane, memarg),
            Operator::V128Load32Lane { memarg, lane } => self.load_lane(I32, I32X4, *lane, memarg),
            Operator::V128Load64Lane { memarg, lane } => self.load_lane(I64, I64X2, *lane, memarg),
            Operator::V128Store8Lane { memarg, lane } => self.store_lane(I8X16, *lane, memarg),
            Operator::V128Store16Lane { memarg, lane } => self.store_lane(I16X8, *lane, memarg),
            Operator::V128Store32Lane { memarg, lane } => self.store_lane(I32X4, *lane, memarg),
            Operator::V128Store64Lane { memarg, lane } => self.store_lane(I64X2, *lane, memarg),
            _ => return false,
        }
        true
    }

    fn load_splat(&mut self, ty: Type, arg: &MemArg) {
        self.load(ty.lane_type(), arg);
        let lane = self.pop();
        let value = self.b.ins().splat(ty, lane);
        self.push(value);
    }

    fn load_zero(&mut self, lane: Type, ty: Type, arg: &MemArg) {
        self.load(lane, arg);
        let scalar = self.pop();
        let value = self.b.ins().scalar_to_vector(ty, scalar);
        self.push(value);
    }

    fn load_lane(&mut self, scalar: Type, ty: Type, lane: u8, arg: &MemArg) {
        let vector = self.pop_lanes(ty);
        self.load(scalar, arg);
        let scalar = self.pop();
        let value = self.b.ins().insertlane(vector, scalar, lane);
        self.push(value);
    }

    fn store_lane(&mut self, ty: Type, lane: u8, arg: &MemArg) {
        let vector = self.pop_lanes(ty);
        let scalar = self.b.ins().extractlane(vector, lane);
        self.push(scalar);
        self.store(ty.lane_type().bytes(), arg);
    }
}
