//! What is known of a reference before it is looked at: a type that validation saw may say that it is never null, or never a
//! small integer, which has no header to look at.
//!
//! It is known of the topmost value alone, and from one operator to the next: that is where casts stand. Types of values further
//! down are known as well, but would have to be kept through all that moves values.

use super::translator::Translator;
use belljar_core::{HeapType, RefType, StorageType, TypeRef, ValType};

/// What a reference may be besides an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    pub(super) null: bool,
    pub(super) small: bool,
}

impl Known {
    /// What is known where nothing is.
    pub(super) const NOTHING: Self = Self { null: true, small: true };
    /// What was just made.
    pub(super) const OBJECT: Self = Self { null: false, small: false };

    /// What a type says. (Of a function reference it says too much, which nobody asks for.)
    pub(super) fn of(ty: RefType) -> Self {
        let small = !matches!(
            ty.heap_type(),
            HeapType::Struct | HeapType::Array | HeapType::None | HeapType::Defined(TypeRef::Index(_))
        );
        Self { null: ty.is_nullable(), small }
    }

    /// What both say.
    pub(super) fn and(self, other: Self) -> Self {
        Self { null: self.null && other.null, small: self.small && other.small }
    }
}

impl Translator<'_> {
    /// Notes that the operator at hand leaves a value of this type at the top.
    pub(super) fn leaves(&mut self, ty: ValType) {
        if let ValType::Ref(ty) = ty {
            self.left = Known::of(ty);
        }
    }

    /// The same for what a field or element holds.
    pub(super) fn leaves_stored(&mut self, storage: StorageType) {
        if let StorageType::Val(ty) = storage {
            self.leaves(ty);
        }
    }

    /// What is known of a local of the innermost body.
    pub(super) fn known_local(&self, index: u32) -> Known {
        let first = self.activations.last().map_or(0, |activation| activation.first_local);
        self.s.known_locals[first + index as usize]
    }
}
