//! What an instruction does to a memory, or which import it calls, decoded from the binary on demand.
//!
//! In: a position that came with machine code. Out: the meaning of the operator there. Never: a scan of the body before
//! it.

use crate::{EntityIndex, Import, Module};
use belljar_core::{FuncIndex, MemoryIndex, WasmPc};
use wasmparser::{BinaryReader, MemArg, MemArgTarget, Operator, OperatorsReader};

/// An instruction that accesses a memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryOp {
    /// Reads this many bytes.
    Load {
        /// From this memory.
        memory: MemoryIndex,
        /// The bytes.
        size: u64,
    },
    /// Writes this many bytes, possibly after reading them.
    Store {
        /// To this memory.
        memory: MemoryIndex,
        /// The bytes.
        size: u64,
    },
    /// Fills, copies or initializes a range whose length is an operand.
    Bulk {
        /// The memory; `None` for a copy between two memories.
        memory: Option<MemoryIndex>,
    },
}

impl MemoryOp {
    /// Returns the memory that is accessed, if it is a single one.
    pub fn memory(&self) -> Option<MemoryIndex> {
        match *self {
            Self::Load { memory, .. } | Self::Store { memory, .. } => Some(memory),
            Self::Bulk { memory } => memory,
        }
    }

    /// Returns the size of the access in bytes, if it is constant.
    pub fn size(&self) -> Option<u64> {
        match *self {
            Self::Load { size, .. } | Self::Store { size, .. } => Some(size),
            Self::Bulk { .. } => None,
        }
    }

    // A flat table of opcodes.
    fn of(op: &Operator<'_>) -> Option<Self> {
        match op {
            Operator::I32Load { memarg }
            | Operator::I64Load { memarg }
            | Operator::F32Load { memarg }
            | Operator::F64Load { memarg }
            | Operator::I32Load8S { memarg }
            | Operator::I32Load8U { memarg }
            | Operator::I32Load16S { memarg }
            | Operator::I32Load16U { memarg }
            | Operator::I64Load8S { memarg }
            | Operator::I64Load8U { memarg }
            | Operator::I64Load16S { memarg }
            | Operator::I64Load16U { memarg }
            | Operator::I64Load32S { memarg }
            | Operator::I64Load32U { memarg }
            | Operator::V128Load { memarg }
            | Operator::V128Load8x8S { memarg }
            | Operator::V128Load8x8U { memarg }
            | Operator::V128Load16x4S { memarg }
            | Operator::V128Load16x4U { memarg }
            | Operator::V128Load32x2S { memarg }
            | Operator::V128Load32x2U { memarg }
            | Operator::V128Load8Splat { memarg }
            | Operator::V128Load16Splat { memarg }
            | Operator::V128Load32Splat { memarg }
            | Operator::V128Load64Splat { memarg }
            | Operator::V128Load32Zero { memarg }
            | Operator::V128Load64Zero { memarg }
            | Operator::V128Load8Lane { memarg, .. }
            | Operator::V128Load16Lane { memarg, .. }
            | Operator::V128Load32Lane { memarg, .. }
            | Operator::V128Load64Lane { memarg, .. } => {
                memory(memarg).map(|memory| Self::Load { memory, size: size(memarg) })
            }
            Operator::I32Store { memarg }
            | Operator::I64Store { memarg }
            | Operator::F32Store { memarg }
            | Operator::F64Store { memarg }
            | Operator::I32Store8 { memarg }
            | Operator::I32Store16 { memarg }
            | Operator::I64Store8 { memarg }
            | Operator::I64Store16 { memarg }
            | Operator::I64Store32 { memarg }
            | Operator::V128Store { memarg }
            | Operator::V128Store8Lane { memarg, .. }
            | Operator::V128Store16Lane { memarg, .. }
            | Operator::V128Store32Lane { memarg, .. }
            | Operator::V128Store64Lane { memarg, .. } => {
                memory(memarg).map(|memory| Self::Store { memory, size: size(memarg) })
            }
            Operator::I32AtomicLoad { memarg }
            | Operator::I64AtomicLoad { memarg }
            | Operator::I32AtomicLoad8U { memarg }
            | Operator::I32AtomicLoad16U { memarg }
            | Operator::I64AtomicLoad8U { memarg }
            | Operator::I64AtomicLoad16U { memarg }
            | Operator::I64AtomicLoad32U { memarg } => {
                memory(memarg).map(|memory| Self::Load { memory, size: size(memarg) })
            }
            Operator::I32AtomicStore8 { memarg }
            | Operator::I64AtomicStore8 { memarg }
            | Operator::I32AtomicStore16 { memarg }
            | Operator::I64AtomicStore16 { memarg }
            | Operator::I32AtomicStore { memarg }
            | Operator::I64AtomicStore32 { memarg }
            | Operator::I64AtomicStore { memarg }
            | Operator::I32AtomicRmwAdd { memarg }
            | Operator::I64AtomicRmwAdd { memarg }
            | Operator::I32AtomicRmw8AddU { memarg }
            | Operator::I32AtomicRmw16AddU { memarg }
            | Operator::I64AtomicRmw8AddU { memarg }
            | Operator::I64AtomicRmw16AddU { memarg }
            | Operator::I64AtomicRmw32AddU { memarg }
            | Operator::I32AtomicRmwSub { memarg }
            | Operator::I64AtomicRmwSub { memarg }
            | Operator::I32AtomicRmw8SubU { memarg }
            | Operator::I32AtomicRmw16SubU { memarg }
            | Operator::I64AtomicRmw8SubU { memarg }
            | Operator::I64AtomicRmw16SubU { memarg }
            | Operator::I64AtomicRmw32SubU { memarg }
            | Operator::I32AtomicRmwAnd { memarg }
            | Operator::I64AtomicRmwAnd { memarg }
            | Operator::I32AtomicRmw8AndU { memarg }
            | Operator::I32AtomicRmw16AndU { memarg }
            | Operator::I64AtomicRmw8AndU { memarg }
            | Operator::I64AtomicRmw16AndU { memarg }
            | Operator::I64AtomicRmw32AndU { memarg }
            | Operator::I32AtomicRmwOr { memarg }
            | Operator::I64AtomicRmwOr { memarg }
            | Operator::I32AtomicRmw8OrU { memarg }
            | Operator::I32AtomicRmw16OrU { memarg }
            | Operator::I64AtomicRmw8OrU { memarg }
            | Operator::I64AtomicRmw16OrU { memarg }
            | Operator::I64AtomicRmw32OrU { memarg }
            | Operator::I32AtomicRmwXor { memarg }
            | Operator::I64AtomicRmwXor { memarg }
            | Operator::I32AtomicRmw8XorU { memarg }
            | Operator::I32AtomicRmw16XorU { memarg }
            | Operator::I64AtomicRmw8XorU { memarg }
            | Operator::I64AtomicRmw16XorU { memarg }
            | Operator::I64AtomicRmw32XorU { memarg }
            | Operator::I32AtomicRmwXchg { memarg }
            | Operator::I64AtomicRmwXchg { memarg }
            | Operator::I32AtomicRmw8XchgU { memarg }
            | Operator::I32AtomicRmw16XchgU { memarg }
            | Operator::I64AtomicRmw8XchgU { memarg }
            | Operator::I64AtomicRmw16XchgU { memarg }
            | Operator::I64AtomicRmw32XchgU { memarg }
            | Operator::I32AtomicRmwCmpxchg { memarg }
            | Operator::I64AtomicRmwCmpxchg { memarg }
            | Operator::I32AtomicRmw8CmpxchgU { memarg }
            | Operator::I32AtomicRmw16CmpxchgU { memarg }
            | Operator::I64AtomicRmw8CmpxchgU { memarg }
            | Operator::I64AtomicRmw16CmpxchgU { memarg }
            | Operator::I64AtomicRmw32CmpxchgU { memarg } => {
                memory(memarg).map(|memory| Self::Store { memory, size: size(memarg) })
            }
            Operator::MemoryFill { mem } | Operator::MemoryInit { mem, .. } => {
                Some(Self::Bulk { memory: Some(MemoryIndex(*mem)) })
            }
            Operator::MemoryCopy { dst_mem, src_mem } => {
                Some(Self::Bulk { memory: (dst_mem == src_mem).then_some(MemoryIndex(*dst_mem)) })
            }
            _ => None,
        }
    }
}

fn memory(arg: &MemArg) -> Option<MemoryIndex> {
    match arg.target {
        MemArgTarget::Memory(memory) => Some(MemoryIndex(memory)),
        MemArgTarget::Array(_) => None,
    }
}

/// Returns the access size. The largest alignment that an access may declare is its size.
fn size(arg: &MemArg) -> u64 {
    1 << arg.max_align
}

impl Module {
    /// Returns what the instruction at this position does to a memory, or `None` if it accesses none or the position is
    /// outside all code. The position must be the start of an instruction; inside one, the result is arbitrary.
    pub fn memory_op_at(&self, pc: WasmPc) -> Option<MemoryOp> {
        MemoryOp::of(&self.operator_at(pc)?)
    }

    /// Returns the imported function that the instruction at this position calls by index, if it is such a call. The
    /// position is interpreted as in [`Module::memory_op_at`].
    pub fn import_called_at(&self, pc: WasmPc) -> Option<&Import> {
        let (Operator::Call { function_index } | Operator::ReturnCall { function_index }) =
            self.operator_at(pc)?
        else {
            return None;
        };
        let called = EntityIndex::Func(FuncIndex(function_index));
        self.imports().iter().find(|import| import.entity == called)
    }

    /// Returns the instruction at a position, or `None` if the binary is kept without code.
    fn operator_at(&self, pc: WasmPc) -> Option<Operator<'_>> {
        let func = self.defined_func(self.func_at(pc)?)?;
        let code = self.function_body(func)?.get_operators_reader().ok()?;
        if u64::from(pc.0) < code.original_position() {
            return None;
        }
        let rest = self.binary().get(pc.0 as usize..self.body(func).end)?;
        OperatorsReader::new(BinaryReader::new(rest, u64::from(pc.0))).read().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{WasmFeatures, validate};
    use belljar_core::DefinedFuncIndex;

    /// Returns what each instruction of a body does to a memory.
    fn ops(body: &str) -> Vec<Option<MemoryOp>> {
        let wat = format!(
            r#"(module (memory 1) (memory $m 1) (data $d "x") (func (local i64 v128) {body} unreachable))"#
        );
        let module = validate(wat::parse_str(&wat).unwrap().into(), WasmFeatures::default()).unwrap();
        let range = module.body(DefinedFuncIndex(0));
        let body = module.function_body(DefinedFuncIndex(0)).unwrap();
        assert_eq!(module.memory_op_at(WasmPc(range.start as u32)), None, "locals are no code");
        let code = body.get_operators_reader().unwrap();
        code.into_iter_with_offsets().map(|op| module.memory_op_at(WasmPc(op.unwrap().1 as u32))).collect()
    }

    #[test]
    fn loads_and_stores_are_told_with_size_and_memory() {
        let (first, second) = (MemoryIndex(0), MemoryIndex(1));
        let load = |size, memory| MemoryOp::Load { memory, size };
        let store = |size, memory| MemoryOp::Store { memory, size };
        let cases = [
            ("i32.const 0 i32.load drop", load(4, first)),
            ("i32.const 0 i32.load8_u offset=99 drop", load(1, first)),
            ("i32.const 0 i64.load align=1 drop", load(8, first)),
            ("i32.const 0 i64.load16_s $m offset=7 drop", load(2, second)),
            ("i32.const 0 i64.load32_u drop", load(4, first)),
            ("i32.const 0 v128.load drop", load(16, first)),
            ("i32.const 0 v128.load32x2_s drop", load(8, first)),
            ("i32.const 0 v128.load8_splat drop", load(1, first)),
            ("i32.const 0 v128.load64_zero drop", load(8, first)),
            ("i32.const 0 local.get 1 v128.load16_lane $m 3 drop", load(2, second)),
            ("i32.const 0 f32.const 0 f32.store", store(4, first)),
            ("i32.const 0 local.get 0 i64.store8 $m", store(1, second)),
            ("i32.const 0 local.get 1 v128.store", store(16, first)),
            ("i32.const 0 local.get 1 v128.store64_lane 1", store(8, first)),
            ("i32.const 0 i64.atomic.load16_u drop", load(2, first)),
            ("i32.const 0 local.get 0 i64.atomic.rmw32.add_u $m drop", store(4, second)),
        ];
        for (body, expected) in cases {
            let found: Vec<_> = ops(body).into_iter().flatten().collect();
            assert_eq!(found, [expected], "{body}");
        }
    }

    #[test]
    fn bulk_operations_have_no_size_and_the_rest_is_no_access() {
        let three = "i32.const 0 i32.const 0 i32.const 0";
        let bulk = |memory: Option<u32>| vec![MemoryOp::Bulk { memory: memory.map(MemoryIndex) }];
        let cases = [
            ("memory.fill", bulk(Some(0))),
            ("memory.init $m $d", bulk(Some(1))),
            ("memory.copy $m $m", bulk(Some(1))),
            ("memory.copy 0 $m", bulk(None)),
            ("drop drop memory.grow drop", vec![]),
        ];
        for (op, expected) in cases {
            let found: Vec<_> = ops(&format!("{three} {op}")).into_iter().flatten().collect();
            assert_eq!(found, expected, "{op}");
        }
    }
}
