//! Symbolization of guests' stacks: backtraces with names, files and lines.
//!
//! In: a recorded stack ([`belljar_vm::RawStack`]), or a module and a position in it. Out: one
//! [`FrameInfo`] for each wasm function on the stack, each with its [`FrameSymbol`]s.
//! Never: stops the guest or trusts it. Names and debug information come from the guest's module; if they
//! are missing, wrong or malicious, symbols are missing, and nothing else happens. Without the feature `debug-info`, DWARF
//! is not read, and names are shown as compilers wrote them.
//!
//! ```text
//! RawStack ── positions ──▶ FrameInfo ── DWARF, on first use ──▶ FrameSymbol…
//! LoadedModule ── functions ──▶ CodePiece… ──▶ input of perf
//! ```

// What only debug information leads to is left in place.
#![cfg_attr(not(feature = "debug-info"), allow(dead_code))]

mod code_pieces;
#[cfg_attr(not(feature = "debug-info"), path = "no_dwarf.rs")]
mod dwarf;
mod frame_info;
mod frame_symbol;
mod lookup;
mod perf_map;
mod printed_name;
#[cfg(feature = "debug-info")]
mod section_reader;
#[cfg(feature = "debug-info")]
mod subprograms;
mod symbol_cache;
mod symbolize;

pub use code_pieces::{functions, functions_with_lines, trampoline};
pub use frame_info::{DebugInfoMismatch, FrameInfo};
pub use frame_symbol::FrameSymbol;
pub use perf_map::perf_map;
pub use printed_name::PrintedName;
pub use symbolize::symbols_at;
