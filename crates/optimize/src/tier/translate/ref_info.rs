//! Facts about references from their static types: a reference may be known not to be null, or not to be a small
//! integer, which has no header.
//!
//! The facts cover the topmost value alone, from one operator to the next, as this is where casts occur. The types of
//! deeper values are known as well, but would have to be tracked through everything that moves values.

use super::state::RefInfo;
use super::translator::Translator;
use belljar_core::{StorageType, ValType};

impl Translator<'_> {
    /// Records that the current operator leaves a value of this type on top.
    pub(super) fn note_result(&mut self, ty: ValType) {
        if let ValType::Ref(ty) = ty {
            self.result_info = RefInfo::of(ty);
        }
    }

    /// Does the same for the contents of a field or element.
    pub(super) fn note_stored_result(&mut self, storage: StorageType) {
        if let StorageType::Val(ty) = storage {
            self.note_result(ty);
        }
    }

    /// Returns the facts about a local of the innermost body.
    pub(super) fn local_info(&self, index: u32) -> RefInfo {
        let first = self.activations.last().map_or(0, |activation| activation.first_local);
        self.s.local_infos[first + index as usize]
    }
}
