//! Ids, types, values and traps that every other crate of belljar speaks of.
//!
//! In: nothing. Out: plain data. Never: I/O, `unsafe`, or knowledge of how code is compiled or run.

mod index;
mod limit;
mod outside_text;
mod quantity;
mod raw;
mod trap;
mod types;

pub use index::*;
pub use limit::LimitUnit;
pub use outside_text::OutsideText;
pub use quantity::*;
pub use raw::RawVal;
pub use trap::{Trap, TrapRow};
pub use types::*;

/// Tells builds apart: a digest of this crate's sources.
pub const FINGERPRINT: [u8; 32] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));
