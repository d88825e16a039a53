//! The part of a store that stubs and compiled code read and write.

/// The context of a store, at a fixed address during the store's life.
///
/// Fields are numbers: the crate that owns the memory knows what they address. The fields that every call from the host
/// touches come first, so that they share a cache line with the data that the owner places before the context.
#[derive(Debug)]
#[repr(C)]
pub struct StoreContext {
    /// Frame pointer of the entry stub of the innermost activation, 0 if no guest code is running.
    pub entry_fp: usize,
    /// Frame pointer of the guest function (or trampoline) that last called the host; 0 if the innermost activation has
    /// not called it yet.
    pub exit_fp: usize,
    /// One of [`pending`]: the reason for leaving the innermost activation. 0 if there is none.
    pub pending: u64,
    /// The stack pointer of the outermost entry that `stack_limit` was computed for, or 0 if it must be computed.
    pub entry_sp: usize,
    /// Guest functions trap when the stack pointer is below this.
    pub stack_limit: usize,
    /// Return address of the call that left `exit_fp`.
    pub exit_pc: usize,
    /// The callee of that call: the address of a host function's object, or a builtin
    /// ([`crate::Builtin::exit_callee`]).
    pub exit_callee: usize,
    /// Whether the innermost activation is apart ([`crate::activation::APART`]): 1 or 0. Then the stubs note
    /// `exit_sp` and `exit_saved`.
    pub is_apart: u64,
    /// Fuel used minus fuel given: the guest runs while this is negative.
    pub fuel: i64,
    /// The epoch at which the guest is interrupted.
    pub epoch_deadline: u64,
    /// Address of the engine's epoch counter.
    pub epoch_counter: usize,
    /// Address of the store as host functions see it; valid while an activation is live.
    pub store: usize,
    /// Bytes of native stack that an outermost entry may use.
    pub stack_size: usize,
    /// The lowest address of the native stack that guest code may use on this thread, or 0 if unknown.
    pub stack_floor: usize,
    /// Address of the instruction that trapped.
    pub trap_pc: usize,
    /// Frame pointer at the trap.
    pub trap_fp: usize,
    /// The address whose access faulted, if the trap was a fault.
    pub trap_address: usize,
    /// Code of the [`belljar_core::Trap`].
    pub trap_code: u64,
    /// The stack pointer at the call that left `exit_fp`, where its return address lies. Only noted if `is_apart`, for
    /// calls of host functions and of [`crate::Builtin::OutOfFuel`].
    pub exit_sp: usize,
    /// The registers at that call that a callee preserves: `rbx` and `r12` to `r15`.
    pub exit_saved: [usize; 5],
}

/// Values of [`StoreContext::pending`].
pub mod pending {
    /// None: the guest returned.
    pub const NONE: u64 = 0;
    /// A trap, described by the `trap_…` fields and the store's record of it.
    pub const TRAP: u64 = 1;
    /// A host function returned an error.
    pub const HOST_ERROR: u64 = 2;
    /// A host function panicked.
    pub const HOST_PANIC: u64 = 3;
    /// An exception that no frame of the activation caught.
    pub const EXCEPTION: u64 = 4;
}
