//! Constant expressions: initial values of globals, offsets of segments, items of element segments.

use crate::error::ModuleError;
use belljar_core::{FuncIndex, GlobalIndex, RawVal, TypeIndex};
use smallvec::{SmallVec, smallvec};
use wasmparser::Operator;

/// The arithmetic that a constant expression may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arithmetic {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
}

impl Arithmetic {
    /// Returns the result modulo 2^64. Of 32-bit operands only the low half is significant.
    pub const fn apply(self, a: u64, b: u64) -> u64 {
        match self {
            Self::Add => a.wrapping_add(b),
            Self::Sub => a.wrapping_sub(b),
            Self::Mul => a.wrapping_mul(b),
        }
    }
}

/// One operation of a constant expression, on a value stack.
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
    /// Pops two `i32` values and pushes the result.
    I32(Arithmetic),
    /// Pops two `i64` values and pushes the result.
    I64(Arithmetic),
    /// Pops an `i32` and pushes it as an `i31`.
    RefI31,
    /// Pops the fields of a struct and pushes the struct.
    StructNew(TypeIndex),
    /// Pushes a struct of zeros and nulls.
    StructNewDefault(TypeIndex),
    /// Pops a value and a length, and pushes an array that is filled with the value.
    ArrayNew(TypeIndex),
    /// Pops a length, and pushes an array of zeros or nulls.
    ArrayNewDefault(TypeIndex),
    /// Pops the given number of elements and pushes an array of them.
    ArrayNewFixed(TypeIndex, u32),
    /// Pops a reference and pushes it with a type of the other hierarchy: `extern.convert_any` and
    /// `any.convert_extern`, which have no other effect.
    Convert,
}

/// A validated constant expression. Its result is the value left on the stack.
#[derive(Clone, PartialEq, Debug)]
pub struct ConstExpr {
    ops: SmallVec<[ConstOp; 1]>,
}

impl ConstExpr {
    /// Returns an expression for a null reference.
    pub fn null() -> Self {
        Self { ops: smallvec![ConstOp::RefNull] }
    }

    /// Returns an expression for a reference to a function.
    pub fn func(func: FuncIndex) -> Self {
        Self { ops: smallvec![ConstOp::RefFunc(func)] }
    }

    /// Returns an expression for a number.
    pub(crate) fn number(value: u64) -> Self {
        Self { ops: smallvec![ConstOp::Value(RawVal::from_u64(value))] }
    }

    /// Returns the operations, in order.
    pub fn ops(&self) -> &[ConstOp] {
        &self.ops
    }

    /// Returns the value as an unsigned 32-bit or 64-bit number, if it depends on constants alone.
    pub fn as_number(&self) -> Option<u64> {
        if let [ConstOp::Value(value)] = *self.ops {
            return Some(value.u64());
        }
        let mut stack: Vec<u64> = Vec::new();
        for op in &self.ops {
            let value = match *op {
                ConstOp::Value(v) => v.u64(),
                ConstOp::I32(arithmetic) => {
                    let (b, a) = (stack.pop()?, stack.pop()?);
                    u64::from(arithmetic.apply(a, b) as u32)
                }
                ConstOp::I64(arithmetic) => {
                    let (b, a) = (stack.pop()?, stack.pop()?);
                    arithmetic.apply(a, b)
                }
                _ => return None,
            };
            stack.push(value);
        }
        stack.pop()
    }

    /// Returns whether each evaluation creates new objects.
    pub fn makes_objects(&self) -> bool {
        self.ops.iter().any(|op| {
            matches!(
                op,
                ConstOp::StructNew(_)
                    | ConstOp::StructNewDefault(_)
                    | ConstOp::ArrayNew(_)
                    | ConstOp::ArrayNewDefault(_)
                    | ConstOp::ArrayNewFixed(..)
            )
        })
    }

    pub(crate) fn read(expr: &wasmparser::ConstExpr<'_>) -> Result<Self, ModuleError> {
        let mut ops = SmallVec::new();
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
                Operator::I32Add => ConstOp::I32(Arithmetic::Add),
                Operator::I32Sub => ConstOp::I32(Arithmetic::Sub),
                Operator::I32Mul => ConstOp::I32(Arithmetic::Mul),
                Operator::I64Add => ConstOp::I64(Arithmetic::Add),
                Operator::I64Sub => ConstOp::I64(Arithmetic::Sub),
                Operator::I64Mul => ConstOp::I64(Arithmetic::Mul),
                Operator::RefI31 => ConstOp::RefI31,
                Operator::StructNew { struct_type_index } => ConstOp::StructNew(TypeIndex(struct_type_index)),
                Operator::StructNewDefault { struct_type_index } => {
                    ConstOp::StructNewDefault(TypeIndex(struct_type_index))
                }
                Operator::ArrayNew { array_type_index } => ConstOp::ArrayNew(TypeIndex(array_type_index)),
                Operator::ArrayNewDefault { array_type_index } => {
                    ConstOp::ArrayNewDefault(TypeIndex(array_type_index))
                }
                Operator::ArrayNewFixed { array_type_index, array_size } => {
                    ConstOp::ArrayNewFixed(TypeIndex(array_type_index), array_size)
                }
                Operator::AnyConvertExtern | Operator::ExternConvertAny => ConstOp::Convert,
                Operator::End => break,
                other => {
                    return Err(ModuleError::Invalid {
                        message: format!("constant expression required, found {other:?}"),
                        offset,
                        place: None,
                    });
                }
            });
        }
        Ok(Self { ops })
    }
}
