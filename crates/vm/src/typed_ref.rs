//! References that are passed under a narrower type than the top of their hierarchy.

use crate::abi_types::{AbiTy, sealed};
use belljar_core::{HeapType, RawVal, RefType, ValType};
use std::fmt;
use std::marker::PhantomData;

/// A Rust type of the embedding API that stands for a heap type.
pub trait RefKind: 'static {
    /// The heap type.
    const HEAP: HeapType;
}

/// A raw reference to a `K`, for which [`AbiTy::TY`] of `R` would be the top of its hierarchy.
///
/// The creator guarantees that the reference is of that type; guests and checked handles do.
#[repr(transparent)]
pub struct TypedRef<R, K, const NULLABLE: bool> {
    raw: R,
    kind: PhantomData<fn() -> K>,
}

impl<R, K, const NULLABLE: bool> TypedRef<R, K, NULLABLE> {
    /// Wraps a reference that is of the type of `K`.
    pub fn new(raw: R) -> Self {
        Self { raw, kind: PhantomData }
    }

    /// Returns the reference without the narrower type.
    pub fn raw(self) -> R {
        self.raw
    }
}

impl<R: Copy, K, const NULLABLE: bool> Clone for TypedRef<R, K, NULLABLE> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: Copy, K, const NULLABLE: bool> Copy for TypedRef<R, K, NULLABLE> {}

impl<R: Default, K, const NULLABLE: bool> Default for TypedRef<R, K, NULLABLE> {
    fn default() -> Self {
        Self::new(R::default())
    }
}

impl<R: fmt::Debug, K, const NULLABLE: bool> fmt::Debug for TypedRef<R, K, NULLABLE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

impl<R: AbiTy, K: RefKind, const NULLABLE: bool> sealed::Sealed for TypedRef<R, K, NULLABLE> {}

impl<R: AbiTy, K: RefKind, const NULLABLE: bool> AbiTy for TypedRef<R, K, NULLABLE> {
    const TY: ValType = ValType::Ref(RefType::new(NULLABLE, K::HEAP));
    const FITS: bool = R::FITS;

    #[inline]
    fn to_slot(self) -> RawVal {
        self.raw.to_slot()
    }

    #[inline]
    fn from_slot(slot: RawVal) -> Self {
        Self::new(R::from_slot(slot))
    }
}
