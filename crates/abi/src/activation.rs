//! The activation record: the data that the entry stub leaves on the native stack below its frame pointer.
//!
//! ```text
//!   fp + 24   only with [`APART`]: the host's stack pointer, at which its rbp lies
//!   fp + 8    return address into the host
//!   fp        the host's rbp
//!   fp − 8    the host's rbx
//!   fp − 16   the store context, plus [`NESTED`] and [`APART`]. Only with one of them:
//!   fp − 24   fp of the previous activation of this store
//!   fp − 32   exit fp of the previous activation
//!   fp − 40   exit pc of the previous activation
//!   fp − 48   exit callee of the previous activation
//! ```
//!
//! An activation that is [`APART`] has a native stack of its own. Only frames of its guest, and of functions that the
//! guest has called, lie there. So the guest can be left in the middle of a call of the host, and continued later: its
//! record is then written anew, for the host function that waits for it then.

/// Offset of the address of the [`crate::StoreContext`] from the entry frame pointer. The address may have [`NESTED`]
/// and [`APART`] added.
pub const STORE_CONTEXT: isize = -16;
/// Offset of the previous activation's entry frame pointer from the entry frame pointer.
pub const PREVIOUS_ENTRY_FP: isize = -24;
/// Offset of the previous activation's exit frame pointer from the entry frame pointer.
pub const PREVIOUS_EXIT_FP: isize = -32;
/// Offset of the previous activation's exit program counter from the entry frame pointer.
pub const PREVIOUS_EXIT_PC: isize = -40;
/// Offset of the previous activation's exit callee from the entry frame pointer.
pub const PREVIOUS_EXIT_CALLEE: isize = -48;

/// Offset of the host's stack pointer from the entry frame pointer, for activations that are [`APART`].
pub const HOST_SP: isize = 24;

/// Added to the context's address, whose lowest three bits are zero, in the record of an activation nested in another
/// one.
pub const NESTED: usize = 1;
/// Added to the context's address in the record of an activation with a native stack of its own.
pub const APART: usize = 2;
/// All that may be added to the context's address.
pub const FLAGS: usize = NESTED | APART;
