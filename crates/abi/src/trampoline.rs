use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A kind of trampoline: code between the guest calling convention and a buffer of values. Both kinds keep a frame pointer.
///
/// A trampoline is needed where a signature does not fit the registers that guest and host share.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TrampolineKind {
    /// From the host into a guest function: `(context, callee_context, code, values)`. It loads the parameters from 16-byte slots
    /// at `values`, calls `code` with `callee_context` and the parameters, and stores the results over them. The entry stub
    /// calls it; `context` is for the stub alone.
    Entry,
    /// From the guest into a host function, as that function's code. It stores the parameters to 16-byte slots, calls the exit
    /// stub of the function's [`FuncObject`](crate::FuncObject) with the object and the address of the slots in the native
    /// convention, and loads the results from the slots.
    Exit,
}

impl TrampolineKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Entry, Self::Exit];
}

/// A trampoline of a file ([`crate::Part::Trampolines`]): it has no relocations, and runs at any address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TrampolineRow {
    /// The index of its function type in the module.
    pub ty: u32,
    /// Its [`TrampolineKind`], as a number.
    pub kind: u32,
    /// Where its code begins in [`crate::Part::TrampolineCode`].
    pub start: u32,
    /// Bytes of its code.
    pub length: u32,
}
