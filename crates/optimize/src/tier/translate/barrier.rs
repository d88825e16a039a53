//! The write barrier: storing a reference into an object marks the slot's card, so that a collection of the nursery
//! scans it.

use super::translator::Translator;
use crate::tier::region::Region;
use belljar_abi::gc::{CARD_DIRTY, CARD_SHIFT, CARD_TABLE_SIZE};
use cranelift_codegen::ir::{InstBuilder, Value, types};

impl Translator<'_> {
    /// Marks the card of a slot, given by its 64-bit offset in the heap.
    pub(super) fn mark_card(&mut self, slot: Value) {
        let card = self.b.ins().ushr_imm_u(slot, i64::from(CARD_SHIFT));
        let base = self.gc_base();
        let address = self.b.ins().iadd(base, card);
        let dirty = self.b.ins().iconst(types::I8, i64::from(CARD_DIRTY));
        let flags = self.regions.trusted(self.b.func, Region::CARD);
        self.b.ins().store(flags, dirty, address, -(CARD_TABLE_SIZE as i32));
    }

    /// Returns whether a stored reference may be to an object: a constant is null.
    pub(super) fn may_be_object(&self, value: Value) -> bool {
        self.constant(value).is_none()
    }
}
