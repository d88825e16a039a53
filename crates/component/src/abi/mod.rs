//! Lifting values out of a component's core code and memory, and lowering them into it, by types that are known at run
//! time. The rules, and the order in which what is invalid traps, are those of the canonical ABI (`CanonicalABI.md`).
//!
//! In: the guest's memory and functions, in a [`LiftContext`] or [`LowerContext`]. Out: values, or core values. Never: an
//! access of memory before it is known that it lies inside.
//!
//! Core values are passed as their bits: 32-bit values in the lower half of 64.

mod context;
mod flat;
pub mod invalid;
mod lift;
mod lower;
mod memory;
mod text;

pub use context::{LiftContext, LiftHandles, LowerContext, LowerTarget};
pub use flat::{FlatSink, FlatValues};
pub use invalid::MAX_BYTES;
pub use lift::{lift_params, lift_result};
pub use lower::{lower_params, lower_result};
pub use text::{check_utf16, utf8};

pub(crate) use lift::{char_of, lift_string};
pub(crate) use lower::{allocate, lower_string};
pub(crate) use memory::*;
