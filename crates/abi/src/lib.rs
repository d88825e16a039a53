//! The agreement between compiled code and the runtime: the layout of a context, the builtin functions, the frame
//! discipline, and the tables that come with code.
//!
//! In: counts of a module's parts. Out: offsets and flat tables. Never: behaviour. Both sides read the agreement here.
//!
//! # A context
//!
//! Compiled functions take one hidden first argument, the *context* of their instance: an address in the store's
//! region. Guest-mutable state lies at the context and above, constants lie [`CONTEXT_DISTANCE`] below it. One register
//! therefore reaches both, and a snapshot takes the state without the constants.
//!
//! ```text
//!   const base                         state base = const base + CONTEXT_DISTANCE
//!   │ const block of instance 0 │ …     │ state block of instance 0 │ …   │ tables
//!   ▲                                   ▲
//!   └ context − CONTEXT_DISTANCE        └ context
//! ```
//!
//! # A frame
//!
//! Every guest frame keeps `rbp`. A call from the host goes through one entry stub, which leaves an *activation record*
//! below its frame pointer ([`activation`]). A call to the host goes through an exit stub, which records its caller in
//! [`StoreContext::exit_fp`] and [`StoreContext::exit_pc`]. Together they bound each run of guest frames from both
//! ends.

pub mod activation;
mod builtin;
mod code;
mod context;
pub mod gc;
mod image;
mod layout;
mod memory;
mod object;
mod positions;
mod trampoline;

pub use builtin::{Builtin, BuiltinRow, BuiltinType};
pub use code::*;
pub use context::{StoreContext, pending};
pub use image::*;
pub use layout::{FIXED_ELEMENTS, GLOBAL_SIZE, LayoutCounts, TablePlace, VmLayout};
pub use memory::{GUARD_SIZE, can_be_reserved, is_guarded};
pub use object::{ConstHeader, FuncObject, GuestTable, MemoryDef, MemoryRef};
pub use positions::{InlinedPos, PosRow, SourcePos, position_at, position_rows, write_positions};
pub use trampoline::{TrampolineKind, TrampolineRow};

/// Bytes between the constant half and the mutable half of a store's region, and so between an instance's constant
/// block and its context. It bounds the sum of all constant blocks of a store, and that of all state blocks. The
/// largest module that validation accepts takes less than half of it, and fits even if all its imports are host
/// functions. This is address space: pages are committed as they are written.
pub const CONTEXT_DISTANCE: usize = 128 << 20;

/// The most types that an engine may have: as many as one module may define.
pub const MAX_TYPES: usize = 1_000_000;

/// Bytes of a type's display in the engine's table of types, which is in the order of [`belljar_core::TypeId`]. Each
/// type has a display: entry `n`, 32 bits, is its ancestor at depth `n`, itself last; `u32::MAX` fills the rest. A cast
/// loads one entry and compares. The specification limits the depth to 63.
pub const TYPE_DISPLAY_SIZE: usize = 64 * 4;

/// Identifies the agreement between compiled code and runtime: digests of the sources of this crate and of
/// belljar-core.
pub const FINGERPRINT: [[u8; 32]; 2] =
    [belljar_core::FINGERPRINT, include!(concat!(env!("OUT_DIR"), "/sources.rs"))];
