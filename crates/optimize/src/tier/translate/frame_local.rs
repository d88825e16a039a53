//! Locals in the stack frame, for functions with too many locals to be SSA values: see [`crate::tier::huge`].
//!
//! ```text
//!   references, 4 bytes each │ others, each at a multiple of its size
//! ```
//!
//! All references are adjacent and valid from the function's start on, so that one mark in each call's stack map stands
//! for all of them.

use super::state::{FrameLocals, FrameOffset};
use super::translator::Translator;
use crate::tier::huge::FrameLocal;
use crate::tier::instructions::for_each_inst;
use crate::tier::region::Region;
use crate::tier::signature::ADDRESS;
use cranelift_codegen::ir::{
    InstBuilder, StackSlot, StackSlotData, StackSlotKind, Type, UserStackMapEntry, Value, types,
};

/// Bytes of a reference.
pub(crate) const REFERENCE: u32 = 4;

/// Bytes of a vector, which is also the alignment of the slot.
const WIDE: i32 = 16;

/// The type of the mark for all references in stack maps; no reference has this type.
pub(crate) const MARK: Type = types::I64;

impl Translator<'_> {
    /// Assigns offsets in the frame to locals.
    pub(super) fn assign_frame_offsets(&mut self, locals: &[FrameLocal]) {
        let mut offsets = vec![None; locals.len()];
        let mut end = 0;
        let mut assign = |wanted: fn(&FrameLocal) -> bool| {
            for (local, place) in
                locals.iter().zip(&mut offsets).filter(|(local, _)| local.used && wanted(local))
            {
                end = u32::next_multiple_of(end, local.ty.bytes());
                *place = Some(FrameOffset { offset: end as i32, ty: local.ty, traced: local.traced });
                end += local.ty.bytes();
            }
            end
        };
        let references = assign(|local| local.traced) / REFERENCE;
        let size = assign(|local| !local.traced);
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size.max(1), 4);
        let slot = self.b.create_sized_stack_slot(data);
        self.frame_locals = Some(FrameLocals { slot, offsets, references });
    }

    /// Initializes the locals that are not parameters: sixteen bytes at a time, as there may be thousands.
    pub(super) fn clear_frame_locals(&mut self, params: usize) {
        let Some(FrameLocals { slot, offsets, .. }) = &self.frame_locals else { return };
        let slot = *slot;
        // The locals of each kind follow the parameters of that kind.
        let range = |traced: bool| {
            let of_kind = || offsets[params..].iter().flatten().filter(|place| place.traced == traced);
            let start = of_kind().map(|place| place.offset).min();
            start.zip(of_kind().map(|place| place.offset + place.ty.bytes() as i32).max())
        };
        let ranges = [range(true), range(false)];
        if ranges == [None, None] {
            return;
        }
        let flags = self.regions.trusted(self.b.func, Region::LOCAL);
        let address = self.b.ins().stack_addr(ADDRESS, slot, 0);
        let word = self.zero(types::I32);
        let wide = self.zero(types::I8X16);
        for (start, end) in ranges.into_iter().flatten() {
            let mut at = start;
            while at < end {
                let (zero, size) = if at % WIDE == 0 && at + WIDE <= end { (wide, WIDE) } else { (word, 4) };
                self.b.ins().store(flags, zero, address, at);
                at += size;
            }
        }
    }

    fn frame_offset(&self, local: usize) -> Option<(StackSlot, FrameOffset)> {
        let locals = self.frame_locals.as_ref()?;
        Some((locals.slot, locals.offsets[local]?))
    }

    /// Loads a local that lies in the frame.
    pub(super) fn load_local(&mut self, local: usize) -> Option<Value> {
        let (slot, place) = self.frame_offset(local)?;
        let flags = self.regions.trusted(self.b.func, Region::LOCAL);
        let address = self.b.ins().stack_addr(ADDRESS, slot, 0);
        let value = self.b.ins().load(place.ty, flags, address, place.offset);
        self.track_if(place.traced, value);
        Some(value)
    }

    pub(super) fn store_local(&mut self, local: usize, value: Value) {
        let Some((slot, place)) = self.frame_offset(local) else { return };
        let flags = self.regions.trusted(self.b.func, Region::LOCAL);
        let address = self.b.ins().stack_addr(ADDRESS, slot, 0);
        self.b.ins().store(flags, value, address, place.offset);
    }

    /// Adds the references in the frame to every call's stack map. Returns their number.
    pub(super) fn mark_references(&mut self) -> u32 {
        let Some(FrameLocals { slot, references, .. }) = self.frame_locals else { return 0 };
        if references == 0 {
            return 0;
        }
        for_each_inst(self.b.func, |func, _, inst| {
            if func.dfg.insts[inst].opcode().is_safepoint() {
                let mark = UserStackMapEntry { ty: MARK, slot, offset: 0 };
                func.dfg.append_user_stack_map_entry(inst, mark);
            }
        });
        references
    }
}
