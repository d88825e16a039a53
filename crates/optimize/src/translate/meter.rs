//! Fuel, epochs and stack limits, which stop guests that do not stop by themselves.
//!
//! Fuel is summed during translation and charged to the store where control flow splits or joins, so that a straight
//! run of operators costs one addition. The guest runs while the count is negative.

use super::translator::Translator;
use crate::region::Region;
use crate::signature::ADDRESS;
use belljar_abi::{Builtin, ConstHeader, StoreContext, VmLayout};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{GlobalValueData, InstBuilder, Value, types};
use std::mem::offset_of;
use wasmparser::Operator;

impl Translator<'_> {
    /// Counts an operator. Operators that generate no code are free.
    pub(super) fn charge(&mut self, op: &Operator<'_>) {
        if !self.plan.tunables.consume_fuel {
            return;
        }
        self.fuel += match op {
            Operator::Nop
            | Operator::Drop
            | Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::Else
            | Operator::TryTable { .. }
            | Operator::Try { .. }
            | Operator::Catch { .. }
            | Operator::CatchAll
            | Operator::Delegate { .. }
            | Operator::End
            | Operator::Return
            | Operator::Unreachable => 0,
            _ => 1,
        };
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
            let store = self.store_context();
            let flags = self.regions.trusted(self.b.func, Region::STORE);
            let fuel = self.b.ins().load(types::I64, flags, store, offset_of!(StoreContext, fuel) as i32);
            let out = self.b.ins().icmp_imm_u(IntCC::SignedGreaterThanOrEqual, fuel, 0);
            self.call_if(out, Builtin::OutOfFuel);
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
        let constant = self.b.func.dfg.mem_flags.insert(crate::region::constant());
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
