//! What is known of a reference before it is looked at: a type that validation saw may say that it is never null, or never a
//! small integer, which has no header to look at.
//!
//! It is known of the topmost value alone, and from one operator to the next: that is where casts stand. Types of values further
//! down are known as well, but would have to be kept through all that moves values.

use super::state::RefInfo;
use super::translator::Translator;
use belljar_core::{StorageType, ValType};

impl Translator<'_> {
    /// Notes that the operator at hand leaves a value of this type at the top.
    pub(super) fn note_result(&mut self, ty: ValType) {
        if let ValType::Ref(ty) = ty {
            self.result_info = RefInfo::of(ty);
        }
    }

    /// The same for what a field or element holds.
    pub(super) fn note_stored_result(&mut self, storage: StorageType) {
        if let StorageType::Val(ty) = storage {
            self.note_result(ty);
        }
    }

    /// What is known of a local of the innermost body.
    pub(super) fn local_info(&self, index: u32) -> RefInfo {
        let first = self.activations.last().map_or(0, |activation| activation.first_local);
        self.s.local_infos[first + index as usize]
    }
}
