//! Atomic instructions. All are sequentially consistent, on shared and unshared memories.
//!
//! An unaligned address traps before one outside the memory does. Results of accesses narrower than their type are
//! zero-extended.

use super::memory_access::AccessAddress;
use super::translator::Translator;
use crate::tier::trap_code;
use belljar_abi::Builtin;
use belljar_core::{MemoryIndex, Trap};
use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder, Type, Value, types};
use wasmparser::{MemArg, MemArgTarget, Operator};

impl Translator<'_> {
    // A flat table of opcodes.
    pub(super) fn atomic(&mut self, op: &Operator<'_>) -> bool {
        use AtomicRmwOp::{Add, And, Or, Sub, Xchg, Xor};
        use Operator as O;
        use types::{I8, I16, I32, I64};
        match op {
            O::I32AtomicLoad { memarg } => self.atomic_load(I32, I32, memarg),
            O::I64AtomicLoad { memarg } => self.atomic_load(I64, I64, memarg),
            O::I32AtomicLoad8U { memarg } => self.atomic_load(I32, I8, memarg),
            O::I32AtomicLoad16U { memarg } => self.atomic_load(I32, I16, memarg),
            O::I64AtomicLoad8U { memarg } => self.atomic_load(I64, I8, memarg),
            O::I64AtomicLoad16U { memarg } => self.atomic_load(I64, I16, memarg),
            O::I64AtomicLoad32U { memarg } => self.atomic_load(I64, I32, memarg),
            O::I32AtomicStore8 { memarg } | O::I64AtomicStore8 { memarg } => self.atomic_store(I8, memarg),
            O::I32AtomicStore16 { memarg } | O::I64AtomicStore16 { memarg } => self.atomic_store(I16, memarg),
            O::I32AtomicStore { memarg } | O::I64AtomicStore32 { memarg } => self.atomic_store(I32, memarg),
            O::I64AtomicStore { memarg } => self.atomic_store(I64, memarg),
            O::I32AtomicRmwAdd { memarg } => self.atomic_rmw(Add, I32, I32, memarg),
            O::I64AtomicRmwAdd { memarg } => self.atomic_rmw(Add, I64, I64, memarg),
            O::I32AtomicRmw8AddU { memarg } => self.atomic_rmw(Add, I32, I8, memarg),
            O::I32AtomicRmw16AddU { memarg } => self.atomic_rmw(Add, I32, I16, memarg),
            O::I64AtomicRmw8AddU { memarg } => self.atomic_rmw(Add, I64, I8, memarg),
            O::I64AtomicRmw16AddU { memarg } => self.atomic_rmw(Add, I64, I16, memarg),
            O::I64AtomicRmw32AddU { memarg } => self.atomic_rmw(Add, I64, I32, memarg),
            O::I32AtomicRmwSub { memarg } => self.atomic_rmw(Sub, I32, I32, memarg),
            O::I64AtomicRmwSub { memarg } => self.atomic_rmw(Sub, I64, I64, memarg),
            O::I32AtomicRmw8SubU { memarg } => self.atomic_rmw(Sub, I32, I8, memarg),
            O::I32AtomicRmw16SubU { memarg } => self.atomic_rmw(Sub, I32, I16, memarg),
            O::I64AtomicRmw8SubU { memarg } => self.atomic_rmw(Sub, I64, I8, memarg),
            O::I64AtomicRmw16SubU { memarg } => self.atomic_rmw(Sub, I64, I16, memarg),
            O::I64AtomicRmw32SubU { memarg } => self.atomic_rmw(Sub, I64, I32, memarg),
            O::I32AtomicRmwAnd { memarg } => self.atomic_rmw(And, I32, I32, memarg),
            O::I64AtomicRmwAnd { memarg } => self.atomic_rmw(And, I64, I64, memarg),
            O::I32AtomicRmw8AndU { memarg } => self.atomic_rmw(And, I32, I8, memarg),
            O::I32AtomicRmw16AndU { memarg } => self.atomic_rmw(And, I32, I16, memarg),
            O::I64AtomicRmw8AndU { memarg } => self.atomic_rmw(And, I64, I8, memarg),
            O::I64AtomicRmw16AndU { memarg } => self.atomic_rmw(And, I64, I16, memarg),
            O::I64AtomicRmw32AndU { memarg } => self.atomic_rmw(And, I64, I32, memarg),
            O::I32AtomicRmwOr { memarg } => self.atomic_rmw(Or, I32, I32, memarg),
            O::I64AtomicRmwOr { memarg } => self.atomic_rmw(Or, I64, I64, memarg),
            O::I32AtomicRmw8OrU { memarg } => self.atomic_rmw(Or, I32, I8, memarg),
            O::I32AtomicRmw16OrU { memarg } => self.atomic_rmw(Or, I32, I16, memarg),
            O::I64AtomicRmw8OrU { memarg } => self.atomic_rmw(Or, I64, I8, memarg),
            O::I64AtomicRmw16OrU { memarg } => self.atomic_rmw(Or, I64, I16, memarg),
            O::I64AtomicRmw32OrU { memarg } => self.atomic_rmw(Or, I64, I32, memarg),
            O::I32AtomicRmwXor { memarg } => self.atomic_rmw(Xor, I32, I32, memarg),
            O::I64AtomicRmwXor { memarg } => self.atomic_rmw(Xor, I64, I64, memarg),
            O::I32AtomicRmw8XorU { memarg } => self.atomic_rmw(Xor, I32, I8, memarg),
            O::I32AtomicRmw16XorU { memarg } => self.atomic_rmw(Xor, I32, I16, memarg),
            O::I64AtomicRmw8XorU { memarg } => self.atomic_rmw(Xor, I64, I8, memarg),
            O::I64AtomicRmw16XorU { memarg } => self.atomic_rmw(Xor, I64, I16, memarg),
            O::I64AtomicRmw32XorU { memarg } => self.atomic_rmw(Xor, I64, I32, memarg),
            O::I32AtomicRmwXchg { memarg } => self.atomic_rmw(Xchg, I32, I32, memarg),
            O::I64AtomicRmwXchg { memarg } => self.atomic_rmw(Xchg, I64, I64, memarg),
            O::I32AtomicRmw8XchgU { memarg } => self.atomic_rmw(Xchg, I32, I8, memarg),
            O::I32AtomicRmw16XchgU { memarg } => self.atomic_rmw(Xchg, I32, I16, memarg),
            O::I64AtomicRmw8XchgU { memarg } => self.atomic_rmw(Xchg, I64, I8, memarg),
            O::I64AtomicRmw16XchgU { memarg } => self.atomic_rmw(Xchg, I64, I16, memarg),
            O::I64AtomicRmw32XchgU { memarg } => self.atomic_rmw(Xchg, I64, I32, memarg),
            O::I32AtomicRmwCmpxchg { memarg } => self.atomic_cas(I32, I32, memarg),
            O::I64AtomicRmwCmpxchg { memarg } => self.atomic_cas(I64, I64, memarg),
            O::I32AtomicRmw8CmpxchgU { memarg } => self.atomic_cas(I32, I8, memarg),
            O::I32AtomicRmw16CmpxchgU { memarg } => self.atomic_cas(I32, I16, memarg),
            O::I64AtomicRmw8CmpxchgU { memarg } => self.atomic_cas(I64, I8, memarg),
            O::I64AtomicRmw16CmpxchgU { memarg } => self.atomic_cas(I64, I16, memarg),
            O::I64AtomicRmw32CmpxchgU { memarg } => self.atomic_cas(I64, I32, memarg),
            O::AtomicFence { .. } => {
                self.b.ins().fence();
            }
            O::MemoryAtomicWait32 { memarg } => self.wait(Builtin::MemoryWait32, memarg),
            O::MemoryAtomicWait64 { memarg } => self.wait(Builtin::MemoryWait64, memarg),
            O::MemoryAtomicNotify { memarg } => self.notify(memarg),
            _ => return false,
        }
        true
    }

    fn atomic_load(&mut self, ty: Type, access: Type, arg: &MemArg) {
        let (place, address) = self.atomic_address(access, arg);
        let value = self.b.ins().atomic_load(access, place.flags, address);
        self.push_extended(ty, value);
    }

    fn atomic_store(&mut self, access: Type, arg: &MemArg) {
        let value = self.pop_part(access);
        let (place, address) = self.atomic_address(access, arg);
        self.b.ins().atomic_store(place.flags, value, address);
    }

    fn atomic_rmw(&mut self, op: AtomicRmwOp, ty: Type, access: Type, arg: &MemArg) {
        let operand = self.pop_part(access);
        let (place, address) = self.atomic_address(access, arg);
        let old = self.b.ins().atomic_rmw(access, place.flags, op, address, operand);
        self.push_extended(ty, old);
    }

    /// Only the bits of the access size are significant in the expected value and in the replacement.
    fn atomic_cas(&mut self, ty: Type, access: Type, arg: &MemArg) {
        let replacement = self.pop_part(access);
        let expected = self.pop_part(access);
        let (place, address) = self.atomic_address(access, arg);
        let old = self.b.ins().atomic_cas(place.flags, address, expected, replacement);
        self.push_extended(ty, old);
    }

    /// Pops the topmost value and returns the low part that an access takes.
    fn pop_part(&mut self, access: Type) -> Value {
        let value = self.pop();
        if self.type_of(value) == access { value } else { self.b.ins().ireduce(access, value) }
    }

    fn push_extended(&mut self, ty: Type, value: Value) {
        let value = if self.type_of(value) == ty { value } else { self.b.ins().uextend(ty, value) };
        self.push(value);
    }

    /// Returns the target of an aligned access at the topmost value, and its address with the offset added: atomic
    /// accesses in CLIF have no offset.
    fn atomic_address(&mut self, access: Type, arg: &MemArg) -> (AccessAddress, Value) {
        let mask = u64::from(access.bytes()) - 1;
        if mask != 0 {
            let index = *self.s.stack.last().expect("validation bounds the stack");
            let index = self.widen(index);
            // The high bits of the offset do not affect the alignment.
            let low = self.b.ins().iadd_imm_s(index, (arg.offset & mask) as i64);
            let rest = self.b.ins().band_imm_u(low, mask as i64);
            self.b.ins().trapnz(rest, trap_code::encode(Trap::HeapMisaligned));
        }
        let place = self.access_address(arg, access.bytes());
        let address = match place.offset {
            0 => place.address,
            offset => self.b.ins().iadd_imm_s(place.address, i64::from(offset)),
        };
        (place, address)
    }

    fn wait(&mut self, builtin: Builtin, arg: &MemArg) {
        let (expected, timeout) = self.pop2();
        let (memory, address) = self.operand_address(arg);
        let result = self.call_builtin(builtin, &[memory, address, expected, timeout]);
        self.s.stack.extend(result);
    }

    fn notify(&mut self, arg: &MemArg) {
        let count = self.pop();
        let (memory, address) = self.operand_address(arg);
        let woken = self.call_builtin(Builtin::MemoryNotify, &[memory, address, count]);
        self.s.stack.extend(woken);
    }

    /// Returns the memory's index and the 64-bit address, offset included. The runtime checks the bounds.
    fn operand_address(&mut self, arg: &MemArg) -> (Value, Value) {
        let index = self.pop();
        let index = self.widen(index);
        let memory = match arg.target {
            MemArgTarget::Memory(memory) => MemoryIndex(memory),
            // Validation allows waiting only on memories.
            MemArgTarget::Array(_) => MemoryIndex(0),
        };
        let address = match (arg.offset, self.module.memories()[memory.index()].is_64()) {
            (0, _) => index,
            (offset, false) => self.b.ins().iadd_imm_s(index, offset as i64),
            (offset, true) => {
                let offset = self.i64_const(offset);
                self.sum_or_trap(offset, index)
            }
        };
        (self.i32_const(memory.0), address)
    }
}
