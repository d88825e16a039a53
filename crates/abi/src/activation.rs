//! The activation record: the data that the entry stub leaves on the native stack below its frame pointer.
//!
//! ```text
//!   fp + 8    return address into the host
//!   fp        the host's rbp
//!   fp − 8    the host's rbx
//!   fp − 16   the store context; plus [`NESTED`] if another activation of this store waits for this one. Only then:
//!   fp − 24   fp of the previous activation of this store
//!   fp − 32   exit fp of the previous activation
//!   fp − 40   exit pc of the previous activation
//!   fp − 48   exit callee of the previous activation
//! ```

/// Offset of the address of the [`crate::StoreContext`] from the entry frame pointer. The address may have [`NESTED`]
/// added.
pub const STORE_CONTEXT: isize = -16;
/// Offset of the previous activation's entry frame pointer from the entry frame pointer.
pub const PREVIOUS_ENTRY_FP: isize = -24;
/// Offset of the previous activation's exit frame pointer from the entry frame pointer.
pub const PREVIOUS_EXIT_FP: isize = -32;
/// Offset of the previous activation's exit program counter from the entry frame pointer.
pub const PREVIOUS_EXIT_PC: isize = -40;
/// Offset of the previous activation's exit callee from the entry frame pointer.
pub const PREVIOUS_EXIT_CALLEE: isize = -48;

/// Added to the context's address, which is even, in the record of an activation nested in another one.
pub const NESTED: usize = 1;
