//! What compiled code and the runtime agree on: the layout of a context, the builtin functions, the
//! frame discipline, and the tables that come with code.
//!
//! In: counts of a module's parts. Out: offsets and flat tables. Never: behaviour; both sides read it here.
//!
//! # A context
//!
//! Compiled functions get one hidden first argument, the *context* of their instance: an address in the
//! store's region. Guest-mutable state lies at it and above, constants lie [`CONTEXT_DISTANCE`] below, so
//! that one register reaches both, and a snapshot takes the one without the other.
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
//! Every guest frame keeps `rbp`. A call from the host goes through one entry stub, which leaves an
//! *activation record* below its frame pointer ([`activation`]); a call to the host goes through an exit
//! stub, which notes its caller in [`StoreContext::exit_fp`] and [`StoreContext::exit_pc`]. Together they bound each run of guest
//! frames from both ends.

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

pub use builtin::{Builtin, BuiltinRow, BuiltinType};
pub use code::*;
pub use context::{StoreContext, pending};
pub use image::*;
pub use layout::{FIXED_ELEMENTS, GLOBAL_SIZE, LayoutCounts, TablePlace, VmLayout};
pub use memory::{GUARD_SIZE, can_be_reserved, is_guarded};
pub use object::{ConstHeader, FuncObject, GuestTable, MemoryDef, MemoryRef};
pub use positions::{InlinedPos, PosRow, SourcePos, position_at, position_rows, write_positions};

/// Bytes between the constant and the mutable half of a store's region, and so between an instance's
/// constant block and its context. It bounds the sum of all constant blocks of a store, and that of all state blocks: the
/// largest module that validation accepts takes less than half of it, and fits also where all its imports are functions of the
/// host. It is address space: pages are taken as they are written.
pub const CONTEXT_DISTANCE: usize = 128 << 20;

/// Types that an engine may know at most: as many as one module may define.
pub const MAX_TYPES: usize = 1_000_000;

/// Bytes of a row of the engine's table of types, whose rows lie in the order of [`belljar_core::TypeId`]: entry `n`
/// of a row, 32 bits, is the type `n` levels below the outermost of those that the type was declared below, or
/// the type itself; all ones beyond. The specification's limit on depth is 63.
pub const TYPE_DISPLAY_SIZE: usize = 64 * 4;

/// Tells agreements between compiled code and runtime apart: digests of the sources of this crate and of
/// belljar-core.
pub const FINGERPRINT: [[u8; 32]; 2] =
    [belljar_core::FINGERPRINT, include!(concat!(env!("OUT_DIR"), "/sources.rs"))];
