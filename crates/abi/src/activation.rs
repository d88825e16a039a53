//! The activation record: what the entry stub leaves on the native stack below its frame pointer.
//!
//! ```text
//!   fp + 8    return address into the host
//!   fp        the host's rbp
//!   fp − 40…  the host's callee-saved registers
//!   fp − 48   the store context
//!   fp − 56   fp of the previous activation of this store, 0 if none
//!   fp − 64   exit fp of the previous activation, 0 if none
//!   fp − 72   exit pc of the previous activation
//!   fp − 80   exit callee of the previous activation
//! ```

/// Offset from the entry frame pointer of the address of the [`crate::StoreContext`].
pub const STORE_CONTEXT: isize = -48;
/// Offset from the entry frame pointer of the previous activation's entry frame pointer.
pub const PREVIOUS_ENTRY_FP: isize = -56;
/// Offset from the entry frame pointer of the previous activation's exit frame pointer.
pub const PREVIOUS_EXIT_FP: isize = -64;
/// Offset from the entry frame pointer of the previous activation's exit program counter.
pub const PREVIOUS_EXIT_PC: isize = -72;
/// Offset from the entry frame pointer of the previous activation's exit callee.
pub const PREVIOUS_EXIT_CALLEE: isize = -80;
