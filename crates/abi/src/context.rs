//! The part of a store that stubs and compiled code read and write.

/// One for each store, at a fixed address while the store lives.
///
/// Fields are numbers: what they address is known to the crate that owns the memory. What each call from the host touches comes
/// first, to lie on one line with what that crate puts before it.
#[derive(Debug)]
#[repr(C)]
pub struct StoreContext {
    /// Frame pointer of the entry stub of the innermost activation, 0 if no guest code is running.
    pub entry_fp: usize,
    /// Frame pointer of the guest function (or trampoline) that last called the host; 0 if the innermost activation has not yet.
    pub exit_fp: usize,
    /// One of [`pending`]: why the innermost activation is to be left. 0 while all is well.
    pub pending: u64,
    /// The stack pointer of the outermost entry that `stack_limit` was computed for, 0 if it has to be computed.
    pub entry_sp: usize,
    /// Guest functions trap when the stack pointer is below this.
    pub stack_limit: usize,
    /// Where the call returns to that `exit_fp` is about.
    pub exit_pc: usize,
    /// What it called: the address of a host function's object, or a builtin ([`crate::Builtin::exit_callee`]).
    pub exit_callee: usize,
    /// Fuel used so far minus fuel given: the guest runs while it is negative.
    pub fuel: i64,
    /// The guest runs while the engine's epoch is below this.
    pub epoch_deadline: u64,
    /// Address of the engine's epoch counter.
    pub epoch_counter: usize,
    /// Address of the store as the embedder's functions see it; valid while an activation is live.
    pub store: usize,
    /// Bytes of native stack that an outermost entry may use.
    pub stack_size: usize,
    /// The lowest address of the native stack that guest code may ever use on this thread, 0 if unknown.
    pub stack_floor: usize,
    /// Where the trap happened: address of the instruction.
    pub trap_pc: usize,
    /// Frame pointer at the trap.
    pub trap_fp: usize,
    /// The address whose access faulted, where the trap was a fault.
    pub trap_address: usize,
    /// Code of the [`belljar_core::Trap`].
    pub trap_code: u64,
}

/// Values of [`StoreContext::pending`].
pub mod pending {
    /// Nothing: the guest returned.
    pub const NONE: u64 = 0;
    /// A trap, described by the `trap_…` fields and the store's record of it.
    pub const TRAP: u64 = 1;
    /// A host function returned an error.
    pub const HOST_ERROR: u64 = 2;
    /// A host function panicked.
    pub const HOST_PANIC: u64 = 3;
    /// An exception was thrown that no frame of the activation caught.
    pub const EXCEPTION: u64 = 4;
}
