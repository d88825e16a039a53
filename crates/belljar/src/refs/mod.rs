//! References to objects of a store's heap, for the host.
//!
//! Objects move during garbage collection, so a handle names a slot that the collector updates. A [`Rooted`] is valid
//! until its scope ends; an [`OwnedRooted`] is valid while it lives. Each use is checked: using a handle that is no
//! longer valid, or that belongs to another store, is an error.

mod any;
mod array;
mod exn;
mod external;
mod kinds;
mod nullable;
mod out_of_memory;
mod rooted;
mod structure;

pub use any::{I31, NoExtern, NoFunc, NoneRef};
pub use array::ArrayRefPre;
pub use exn::ExnRefPre;
pub use kinds::{AnyRef, ArrayRef, EqRef, ExnRef, ExternRef, StructRef};
pub(crate) use nullable::{handle, owned_handle, owned_raw, raw};
pub use out_of_memory::GcHeapOutOfMemory;
pub use rooted::{GcRef, OwnedRooted, RootScope, Rooted, RootedGcRef};
pub use structure::StructRefPre;
