//! References to objects of a store's heap, as the host holds them.
//!
//! Objects move when garbage is collected, so a handle names a place that the collector keeps up to date: a
//! [`Rooted`] until its scope ends, an [`OwnedRooted`] while it lives. Both are checked at each use: one that
//! means nothing any more, or belongs to another store, is refused with a sentence.

mod any;
mod array;
mod exn;
mod external;
mod kinds;
mod nullable;
mod rooted;
mod structure;

pub use any::I31;
pub use array::ArrayRefPre;
pub use kinds::{AnyRef, ArrayRef, EqRef, ExnRef, ExternRef, StructRef};
pub(crate) use nullable::{handle, raw};
pub use rooted::{GcRef, OwnedRooted, RootScope, Rooted};
pub use structure::StructRefPre;
