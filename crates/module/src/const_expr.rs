//! Constant expressions: initial values of globals, offsets of segments, items of element segments.

use crate::error::ModuleError;
use belljar_core::{FuncIndex, GlobalIndex, RawVal};
use wasmparser::Operator;

/// One step of a constant expression, on a stack of values.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum ConstOp {
    /// Pushes a number or vector.
    Value(RawVal),
    /// Pushes a global's value.
    GlobalGet(GlobalIndex),
    /// Pushes a reference to a function.
    RefFunc(FuncIndex),
    /// Pushes null.
    RefNull,
}

/// A validated constant expression. The value that is left on the stack is its result.
#[derive(Clone, PartialEq, Debug)]
pub struct ConstExpr {
    ops: Box<[ConstOp]>,
}

impl ConstExpr {
    /// A null reference.
    pub fn null() -> Self {
        Self { ops: Box::new([ConstOp::RefNull]) }
    }

    /// A reference to a function.
    pub fn func(func: FuncIndex) -> Self {
        Self { ops: Box::new([ConstOp::RefFunc(func)]) }
    }

    /// Its steps, in order.
    pub fn ops(&self) -> &[ConstOp] {
        &self.ops
    }

    /// Its value as an `i32`, where it is a plain constant.
    pub fn as_i32(&self) -> Option<u32> {
        match &*self.ops {
            [ConstOp::Value(v)] => Some(v.u32()),
            _ => None,
        }
    }

    pub(crate) fn read(expr: &wasmparser::ConstExpr<'_>) -> Result<Self, ModuleError> {
        let mut ops = Vec::with_capacity(1);
        let mut reader = expr.get_operators_reader();
        loop {
            let (op, offset) = reader.read_with_offset()?;
            ops.push(match op {
                Operator::I32Const { value } => ConstOp::Value(RawVal::from_i32(value)),
                Operator::I64Const { value } => ConstOp::Value(RawVal::from_i64(value)),
                Operator::F32Const { value } => ConstOp::Value(RawVal::from_u32(value.bits())),
                Operator::F64Const { value } => ConstOp::Value(RawVal::from_u64(value.bits())),
                Operator::V128Const { value } => ConstOp::Value(RawVal::from_v128(value.i128() as u128)),
                Operator::GlobalGet { global_index } => ConstOp::GlobalGet(GlobalIndex(global_index)),
                Operator::RefFunc { function_index } => ConstOp::RefFunc(FuncIndex(function_index)),
                Operator::RefNull { .. } => ConstOp::RefNull,
                Operator::End => break,
                other => {
                    return Err(ModuleError::Invalid {
                        message: format!("constant expression required, found {other:?}"),
                        offset,
                    });
                }
            });
        }
        Ok(Self { ops: ops.into() })
    }
}
