//! Ids, types, values, traps and errors that all other crates of belljar use.
//!
//! In: nothing. Out: plain data. Never: I/O, `unsafe`, or knowledge of how code is compiled or run.

mod error;
mod i32_exit;
mod index;
mod limit;
mod outside_text;
mod quantity;
mod raw;
mod similar;
mod trap;
mod types;

#[doc(hidden)]
pub use error::construct;
pub use error::{Chain, Context, Error, Result};
pub use i32_exit::I32Exit;
pub use index::*;
pub use limit::LimitUnit;
pub use outside_text::OutsideText;
pub use quantity::*;
pub use raw::RawVal;
pub use similar::similar_name;
pub use trap::{Trap, TrapRow};
pub use types::*;

/// A digest of this crate's sources, which tells builds apart.
pub const FINGERPRINT: [u8; 32] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));
