//! The layout of the garbage-collected heap, shared by guest code, host and collector.
//!
//! A store has at most one heap, in a mapping of its own. References to its objects are 32-bit: 0 is null, an odd
//! number is an `i31` (shifted left by one), any other is an offset from the heap's base, a multiple of [`ALIGN`].
//!
//! ```text
//! base − CARD_TABLE_SIZE        base        CONTROL       NURSERY             old space
//! │ cards: a byte for each      │ faults:   │ HeapControl │ objects are       │ objects that survived
//! │ CARD_SIZE bytes of the heap │ null      │             │ allocated here    │ a collection
//! ```
//!
//! # An object
//!
//! ```text
//! struct     header │ fields, from FIELDS on, each at a multiple of its size (at most 8)
//! array      header │ length │ elements, from ELEMENTS on
//! exception  header │ tag    │ payload, from ELEMENTS on, laid out like fields
//! host value header │ index  │
//! ```
//!
//! The low bits of the header ([`header::TYPE`]) are the canonical id of the object's type (for an exception: of its
//! tag's function type); the bits above are its kind. The size of an object is a multiple of 8 bytes.
//!
//! # What guest code does itself
//!
//! Guest code allocates an object of constant size by advancing [`HeapControl::top`] as long as it does not exceed
//! [`HeapControl::end`], and otherwise calls a builtin. After it stores a reference that may be to an object into an
//! object that it has not just allocated, it marks the card of the slot: the byte at `base − CARD_TABLE_SIZE + (slot >>
//! CARD_SHIFT)`, where `slot` is the slot's offset from the base. An access to a field of null faults, and the fault
//! becomes [`belljar_core::Trap::NullReference`]; for fields beyond the faulting page, code compares the reference with
//! null first.

use belljar_core::{ArrayType, DefinedTypes, FuncType, HeapType, StorageType, StructType, ValType};

/// Alignment of objects in bytes. Their sizes are multiples of it.
pub const ALIGN: u32 = 8;

/// The address range of references in bytes.
pub const HEAP_REACH: usize = 4 << 30;

/// Base-2 logarithm of [`CARD_SIZE`].
pub const CARD_SHIFT: u32 = 7;

/// Bytes of the heap that one card covers.
pub const CARD_SIZE: u32 = 1 << CARD_SHIFT;

/// Bytes of the card table, which ends at the base.
pub const CARD_TABLE_SIZE: usize = HEAP_REACH >> CARD_SHIFT;

/// The value of a card that had a reference written to its part of the heap; other cards are zero.
pub const CARD_DIRTY: u8 = 1;

/// Bytes at the base that fault.
pub const NULL_PAGE: u32 = 4096;

/// Offset of the [`HeapControl`].
pub const CONTROL: u32 = NULL_PAGE;

/// Offset of the first object.
pub const NURSERY: u32 = 2 * 4096;

/// Offset of a struct's first field.
pub const FIELDS: u32 = 4;

/// Offset of an array's length.
pub const LENGTH: u32 = 4;

/// Offset of an exception's tag, a [`belljar_core::TagId`].
pub const TAG: u32 = 4;

/// Offset of a host value's index.
pub const INDEX: u32 = 4;

/// Offset of an array's first element, and of an exception's payload.
pub const ELEMENTS: u32 = 8;

/// The bits of an object's header.
pub mod header {
    /// The type's canonical id.
    pub const TYPE: u32 = (1 << 28) - 1;
    /// The object is an array.
    pub const ARRAY: u32 = 1 << 28;
    /// The object is a host value that guests hold.
    pub const EXTERN: u32 = 1 << 29;
    /// The object is an exception.
    pub const EXN: u32 = 1 << 30;
    /// The object was moved: the other bits are its new offset divided by [`super::ALIGN`]. Occurs only during a
    /// collection.
    pub const MOVED: u32 = 1 << 31;
    /// The bits of the kind; a struct has none of them.
    pub const KIND: u32 = ARRAY | EXTERN | EXN;
}

/// The allocation state that guest code uses. Offsets are relative to the heap's base.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct HeapControl {
    /// Offset of the next object.
    pub top: u32,
    /// The end of the allocation area.
    pub end: u32,
}

/// Returns whether values of this type may refer to objects of the heap, so that the collector must trace them.
pub fn is_traced(ty: ValType, types: &impl DefinedTypes) -> bool {
    match ty {
        ValType::Ref(ty) => ty.heap_type().top(types) != HeapType::Func,
        _ => false,
    }
}

/// The layout of a struct's fields, or of an exception's payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldLayout {
    /// Offset of each field from the object's start.
    pub offsets: Box<[u32]>,
    /// Offsets of the fields that hold references to objects, ascending.
    pub traced: Box<[u32]>,
    /// Bytes of the object, a multiple of [`ALIGN`].
    pub size: u32,
}

impl FieldLayout {
    /// Returns the layout of a struct.
    pub fn of_struct(ty: &StructType, types: &impl DefinedTypes) -> Self {
        Self::new(FIELDS, ty.fields().iter().map(|field| field.element_type()), types)
    }

    /// Returns the layout of an exception whose tag has this type.
    pub fn of_exception(ty: &FuncType, types: &impl DefinedTypes) -> Self {
        Self::new(ELEMENTS, ty.params().iter().map(|ty| StorageType::Val(*ty)), types)
    }

    fn new(start: u32, fields: impl Iterator<Item = StorageType>, types: &impl DefinedTypes) -> Self {
        let (mut offsets, mut traced) = (Vec::new(), Vec::new());
        let mut at = start;
        for field in fields {
            let size = field.size();
            at = at.next_multiple_of(size.min(8));
            offsets.push(at);
            if matches!(field, StorageType::Val(ty) if is_traced(ty, types)) {
                traced.push(at);
            }
            at += size;
        }
        Self { offsets: offsets.into(), traced: traced.into(), size: at.next_multiple_of(ALIGN) }
    }
}

/// The layout of an array's elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArrayLayout {
    /// Bytes of an element.
    pub element_size: u32,
    /// Whether elements are references to objects.
    pub traced: bool,
}

impl ArrayLayout {
    /// Returns the layout of an array.
    pub fn new(ty: &ArrayType, types: &impl DefinedTypes) -> Self {
        let storage = ty.field_type().element_type();
        let traced = matches!(storage, StorageType::Val(ty) if is_traced(ty, types));
        Self { element_size: storage.size(), traced }
    }

    /// Returns the size in bytes of an array of this length, or `None` if references could not reach its end.
    pub const fn size(&self, length: u32) -> Option<u32> {
        let bytes = ELEMENTS as u64 + length as u64 * self.element_size as u64;
        let bytes = bytes.next_multiple_of(ALIGN as u64);
        if bytes < 1 << 31 { Some(bytes as u32) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use belljar_core::{FieldType, Mutability, TypeRef};

    struct NoTypes;

    impl DefinedTypes for NoTypes {
        fn kind(&self, _: TypeRef) -> HeapType {
            HeapType::Any
        }
        fn is_subtype(&self, _: TypeRef, _: TypeRef) -> bool {
            false
        }
    }

    #[test]
    fn fields_lie_at_multiples_of_their_size() {
        let field = |storage| FieldType::new(Mutability::Var, storage);
        let ty = StructType::new([
            field(StorageType::I8),
            field(StorageType::Val(ValType::ANYREF)),
            field(StorageType::I16),
            field(StorageType::Val(ValType::V128)),
            field(StorageType::Val(ValType::FUNCREF)),
            field(StorageType::Val(ValType::EXTERNREF)),
        ]);
        let layout = FieldLayout::of_struct(&ty, &NoTypes);
        assert_eq!(*layout.offsets, [4, 8, 12, 16, 32, 36]);
        assert_eq!(*layout.traced, [8, 36]);
        assert_eq!(layout.size, 40);
        assert_eq!(FieldLayout::of_struct(&StructType::new([]), &NoTypes).size, 8);
    }

    #[test]
    fn arrays_end_within_reach() {
        let element = FieldType::new(Mutability::Var, StorageType::I16);
        let layout = ArrayLayout::new(&ArrayType::new(element), &NoTypes);
        assert_eq!((layout.size(0), layout.size(3)), (Some(8), Some(16)));
        assert_eq!(layout.size(u32::MAX), None);
    }
}
