//! Fuel, epochs and stack limits, which stop guests that do not stop by themselves.
//!
//! Fuel is summed during translation and charged to the store where control flow splits or joins, so that a straight
//! run of operators costs one addition. The guest runs while the count is negative.

use super::translator::Translator;
use crate::tier::region::Region;
use crate::tier::signature::ADDRESS;
use belljar_abi::{Builtin, ConstHeader, StoreContext, VmLayout};
use belljar_compile::{SizeCost, SizedOp};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{GlobalValueData, InstBuilder, Value, types};
use std::mem::offset_of;
use wasmparser::Operator;

/// A known cost up to this is charged together with other operators. What a guest can use without a check, which is the
/// rest of each function on its stack, cannot make the count overflow then.
const SMALL_COST: u64 = 1 << 20;

/// Larger sizes cost as much as this: no operator succeeds with more bytes or elements, and products of it fit 64 bits.
const MOST_SIZE: u64 = 1 << 40;

/// More fuel than a guest has, for work that no fuel pays for. Twice as much does not overflow.
const UNAFFORDABLE: i64 = 1 << 62;

/// Returns the cost of an operator of this size, if it is small.
fn small_cost(cost: SizeCost, size: u64) -> Option<i64> {
    let of_bytes = match cost.bytes {
        None => 0,
        Some((bytes, per_fuel)) => size.checked_mul(bytes)?.checked_div(per_fuel.into())?,
    };
    let whole = size.checked_mul(cost.per_unit.into())?.checked_add(of_bytes)?;
    (whole <= SMALL_COST).then_some(whole as i64)
}

impl Translator<'_> {
    /// Counts an operator.
    pub(super) fn charge(&mut self, op: &Operator<'_>) {
        if !self.plan.tunables.consume_fuel {
            return;
        }
        self.fuel += self.plan.fuel_costs.cost(op);
        if let Some(sized) = self.sized_op(op) {
            self.charge_size(sized);
        }
    }

    /// Charges an operator for the amount of its work, before it does anything. Its size is on top of the stack.
    fn charge_size(&mut self, op: SizedOp) {
        let Some(cost) = self.plan.fuel_costs.size_cost(op) else { return };
        let Some(&size) = self.s.stack.last() else { return };
        let constant = self.constant(size).and_then(|size| small_cost(cost, size));
        if let Some(known) = constant {
            self.fuel += known;
            return;
        }
        self.flush_fuel();
        let size = self.widen(size);
        let most = self.i64_const(MOST_SIZE);
        let size = self.b.ins().umin(size, most);
        let mut used = self.b.ins().imul_imm_u(size, i64::from(cost.per_unit));
        if let Some((bytes, per_fuel)) = cost.bytes {
            let more = match per_fuel {
                0 => self.i64_const(UNAFFORDABLE as u64),
                _ => {
                    let bytes = self.b.ins().imul_imm_u(size, bytes as i64);
                    let per_fuel = self.i64_const(per_fuel.into());
                    self.b.ins().udiv(bytes, per_fuel)
                }
            };
            used = self.b.ins().iadd(used, more);
        }
        let store = self.store_context();
        let flags = self.regions.trusted(self.b.func, Region::STORE);
        let offset = offset_of!(StoreContext, fuel) as i32;
        let before = self.b.ins().load(types::I64, flags, store, offset);
        let after = self.b.ins().iadd(before, used);
        self.b.ins().store(flags, after, store, offset);
        // Without a check here, many such operators in a row could make the count overflow.
        self.check_fuel();
    }

    /// Returns what kind of operator on a range this is, if it is one.
    fn sized_op(&self, op: &Operator<'_>) -> Option<SizedOp> {
        Some(match *op {
            Operator::MemoryCopy { .. } => SizedOp::MemoryCopy,
            Operator::MemoryFill { .. } => SizedOp::MemoryFill,
            Operator::MemoryInit { .. } => SizedOp::MemoryInit,
            Operator::MemoryGrow { mem } => {
                SizedOp::MemoryGrow { page: 1 << self.module.memories()[mem as usize].page_size_log2() }
            }
            Operator::TableCopy { .. } => SizedOp::TableCopy,
            Operator::TableFill { .. } => SizedOp::TableFill,
            Operator::TableInit { .. } => SizedOp::TableInit,
            Operator::TableGrow { .. } => SizedOp::TableGrow,
            Operator::ArrayCopy { .. } => SizedOp::ArrayCopy,
            Operator::ArrayFill { .. } => SizedOp::ArrayFill,
            Operator::ArrayNewData { .. } => SizedOp::ArrayNewData,
            Operator::ArrayInitData { .. } => SizedOp::ArrayInitData,
            Operator::ArrayNewElem { .. } => SizedOp::ArrayNewElem,
            Operator::ArrayInitElem { .. } => SizedOp::ArrayInitElem,
            Operator::ArrayNewDefault { .. } => SizedOp::ArrayNewDefault,
            Operator::ArrayNew { .. } => SizedOp::ArrayNew,
            _ => return None,
        })
    }

    /// Charges the fuel counted so far.
    pub(super) fn flush_fuel(&mut self) {
        let used = std::mem::take(&mut self.fuel);
        if used == 0 {
            return;
        }
        let store = self.store_context();
        let flags = self.regions.trusted(self.b.func, Region::STORE);
        let offset = offset_of!(StoreContext, fuel) as i32;
        let before = self.b.ins().load(types::I64, flags, store, offset);
        let after = self.b.ins().iadd_imm_s(before, used);
        self.b.ins().store(flags, after, store, offset);
    }

    /// Checks fuel and epoch at the start of a function or loop, so that the embedder can stop the guest.
    pub(super) fn check_limits(&mut self) {
        if self.plan.tunables.consume_fuel {
            self.check_fuel();
        }
        if self.plan.tunables.epoch_interruption {
            let store = self.store_context();
            let flags = self.regions.trusted(self.b.func, Region::STORE);
            // Other threads change the counter: neither flag allows the load to be reused or moved.
            let counter = self.load_constant(ADDRESS, store, offset_of!(StoreContext, epoch_counter) as i32);
            let now = self.b.ins().atomic_load(types::I64, flags, counter);
            let deadline =
                self.b.ins().load(types::I64, flags, store, offset_of!(StoreContext, epoch_deadline) as i32);
            let late = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, now, deadline);
            self.call_if(late, Builtin::NewEpoch);
        }
    }

    fn check_fuel(&mut self) {
        let store = self.store_context();
        let flags = self.regions.trusted(self.b.func, Region::STORE);
        let fuel = self.b.ins().load(types::I64, flags, store, offset_of!(StoreContext, fuel) as i32);
        let out = self.b.ins().icmp_imm_u(IntCC::SignedGreaterThanOrEqual, fuel, 0);
        self.call_if(out, Builtin::OutOfFuel);
    }

    fn call_if(&mut self, condition: Value, builtin: Builtin) {
        let (call, next) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(call);
        self.b.ins().brif(condition, call, &[], next, &[]);
        self.b.seal_block(call);
        self.b.switch_to_block(call);
        self.call_builtin(builtin, &[]);
        self.b.ins().jump(next, &[]);
        self.b.seal_block(next);
        self.b.switch_to_block(next);
    }

    /// Makes the prologue compare the stack pointer with the store's limit.
    pub(super) fn check_stack(&mut self) {
        let constant = self.b.func.dfg.mem_flags.insert(crate::tier::region::constant());
        let Ok(flags) = constant else { return };
        let context = self.b.create_global_value(GlobalValueData::VMContext);
        let store = self.b.create_global_value(GlobalValueData::Load {
            base: context,
            offset: VmLayout::header(offset_of!(ConstHeader, store_context)).into(),
            global_type: ADDRESS,
            flags,
        });
        let limit = self.b.create_global_value(GlobalValueData::Load {
            base: store,
            offset: (offset_of!(StoreContext, stack_limit) as i32).into(),
            global_type: ADDRESS,
            flags,
        });
        self.b.func.stack_limit = Some(limit);
    }
}
