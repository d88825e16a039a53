//! Objects in the constant half of a store's region, and the table header in the mutable half.

/// The start of an instance's constant block.
#[derive(Debug)]
#[repr(C)]
pub struct ConstHeader {
    /// Address of the [`crate::StoreContext`].
    pub store_context: usize,
    /// Base address of [`belljar_core::FuncRefId`]s.
    pub const_base: usize,
    /// Address of the module's text.
    pub text_base: usize,
    /// Address of the table of the builtin functions' entry points, in the order of [`crate::Builtin`].
    pub builtins: usize,
    /// Base address of references to garbage-collected objects; 0 if the store has no heap.
    pub gc_base: usize,
    /// Address of the engine's table of supertype displays ([`crate::TYPE_DISPLAY_SIZE`]); 0 if it is empty.
    pub type_displays: usize,
    /// Index of the instance in the store.
    pub instance: u32,
    /// Reserved, zero.
    pub reserved: u32,
}

/// The target of a function reference. Aligned to 16 bytes.
///
/// The object of a guest function ends after [`FuncObject::GUEST_SIZE`] bytes; only a host function has the rest.
///
/// The object at id 0 is null: its signature equals no other, so one comparison detects both a null and a mismatch.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct FuncObject {
    /// Address of the code, in the guest calling convention.
    pub code: usize,
    /// Its first argument: a context for a guest function, this object's own address for a host function.
    pub context: usize,
    /// Canonical id of its type ([`belljar_core::TypeId`]).
    pub sig: u32,
    /// Index of the function in its module, or [`FuncObject::HOST`].
    pub func_index: u32,
    /// Guest function: its instance. Host function: the instance that imported it, or
    /// [`FuncObject::NO_INSTANCE`].
    pub instance: u32,
    /// Host function: its number in the store. Unused otherwise.
    pub host: u32,
    /// Host function: address of the [`crate::StoreContext`].
    pub store_context: usize,
    /// Host function: address of the native function that the exit stub calls.
    pub native: usize,
    /// Host function: address of the closure's data.
    pub data: usize,
    /// Host function: address of the exit stub, which takes this object and up to five more arguments in the
    /// native convention and calls `native` with the same.
    pub exit_stub: usize,
    /// Host function: address of the host's own data about it.
    pub host_func: usize,
}

impl FuncObject {
    /// Bytes of a guest function's object.
    pub const GUEST_SIZE: usize = 32;
    /// [`FuncObject::func_index`] of a host function.
    pub const HOST: u32 = u32::MAX;
    /// [`FuncObject::instance`] where no instance is known.
    pub const NO_INSTANCE: u32 = u32::MAX;
    /// [`FuncObject::sig`] of the null object.
    pub const NULL_SIG: u32 = u32::MAX;
}

/// A context's reference to a memory, defined or imported.
#[derive(Debug)]
#[repr(C)]
pub struct MemoryRef {
    /// Address of byte 0, constant for the life of the instance if the memory is reserved whole. A memory that may move
    /// is reached through `def` instead.
    pub base: usize,
    /// Address of the [`MemoryDef`].
    pub def: usize,
}

/// A memory's current address and size.
#[derive(Debug)]
#[repr(C)]
pub struct MemoryDef {
    /// Address of byte 0.
    pub base: usize,
    /// Accessible bytes.
    pub length: usize,
}

/// A table's current position and size, in guest-mutable state.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct GuestTable {
    /// Byte offset of element 0 from the state base. Elements are 32 bits.
    pub offset: u32,
    /// Number of elements.
    pub length: u32,
}
