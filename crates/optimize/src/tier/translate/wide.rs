//! Sums and products of 128 bits, on pairs of `i64`.
//!
//! CLIF has no carries between instructions, but instruction selection turns a sum of two pairs into `add` and `adc`,
//! and a product of extended operands into one multiplication.

use super::translator::Translator;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use wasmparser::Operator;

impl Translator<'_> {
    pub(super) fn wide(&mut self, op: &Operator<'_>) -> bool {
        let value = match op {
            Operator::I64Add128 => {
                let (x, y) = self.pop2_pairs();
                self.b.ins().iadd(x, y)
            }
            Operator::I64Sub128 => {
                let (x, y) = self.pop2_pairs();
                self.b.ins().isub(x, y)
            }
            Operator::I64MulWideS => {
                let (x, y) = self.pop2();
                let (x, y) = (self.b.ins().sextend(types::I128, x), self.b.ins().sextend(types::I128, y));
                self.b.ins().imul(x, y)
            }
            Operator::I64MulWideU => {
                let (x, y) = self.pop2();
                let (x, y) = (self.b.ins().uextend(types::I128, x), self.b.ins().uextend(types::I128, y));
                self.b.ins().imul(x, y)
            }
            _ => return false,
        };
        let (low, high) = self.b.ins().isplit(value);
        self.push(low);
        self.push(high);
        true
    }

    /// Pops two 128-bit numbers, each a low and a high half, the deeper one first.
    fn pop2_pairs(&mut self) -> (Value, Value) {
        let y = self.pop_pair();
        (self.pop_pair(), y)
    }

    fn pop_pair(&mut self) -> Value {
        let (low, high) = self.pop2();
        self.b.ins().iconcat(low, high)
    }
}
