//! Coordinates. `…Index` numbers come from the wasm binary, `…Id` numbers are assigned by belljar.
//!
//! Each is a newtype so that a function index can never be used where a table index is meant.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! index {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// Returns this coordinate as a position in a Rust slice.
            pub const fn index(self) -> usize {
                self.0 as usize
            }

            /// Creates the coordinate of position `i`. Wasm binaries cannot hold more than `u32::MAX` of anything.
            pub const fn new(i: usize) -> Self {
                debug_assert!(i <= u32::MAX as usize);
                Self(i as u32)
            }
        }
    )*};
}

index! {
    /// A function in a module's function index space (imports first).
    FuncIndex
    /// A function defined by the module, counted without imports.
    DefinedFuncIndex
    /// A type in a module's type section.
    TypeIndex
    /// A table in a module's table index space (imports first).
    TableIndex
    /// A memory in a module's memory index space (imports first).
    MemoryIndex
    /// A global in a module's global index space (imports first).
    GlobalIndex
    /// A data segment of a module.
    DataIndex
    /// An element segment of a module.
    ElemIndex
    /// A tag in a module's tag index space (imports first).
    TagIndex
    /// A defined type, canonical within one engine: equal ids mean structurally equal types.
    TypeId
    /// A tag within one store.
    TagId
    /// An instance within one store.
    InstanceId
    /// A reference to a function as guests hold it: byte offset of its function object from the store's
    /// constant base. Zero is null.
    FuncRefId
}

impl FuncRefId {
    /// The null reference.
    pub const NULL: Self = Self(0);
}

/// A byte position in a module's binary.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct WasmPc(pub u32);

/// A byte position in a module's compiled text.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct CodeOffset(pub u32);

/// An address of compiled code in the host process. It is a number, not a pointer: nothing is read through it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostPc(pub usize);
