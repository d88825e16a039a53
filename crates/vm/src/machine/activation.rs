//! Activation records, as the entry stubs leave them ([`belljar_abi::activation`]). Everything here is
//! async-signal-safe.

use crate::invariants::read_guest_stack;
use crate::vm_ptr::VmPtr;
use belljar_abi::{StoreContext, activation};

/// An activation that waits in a host function for a nested activation of the same store. The nested one's record
/// describes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// The frame pointer of its entry stub.
    pub(crate) entry: usize,
    /// What the stub noted when it called the host, as in [`StoreContext`].
    pub(crate) exit_fp: usize,
    pub(crate) exit_pc: usize,
    pub(crate) exit_callee: usize,
}

impl Waiting {
    /// Returns the activation that waits for the one whose entry stub has this frame; `None` if that one is the store's
    /// outermost.
    ///
    /// # Safety
    ///
    /// `entry` is the entry stub's frame of a live activation on this thread (ACTIVATION-RECORD).
    #[inline]
    pub(crate) unsafe fn before(entry: usize) -> Option<Self> {
        // SAFETY: the caller's promise; the rest of the record exists if the first word has `NESTED` set.
        unsafe {
            let record = |offset| read_guest_stack(entry.wrapping_add_signed(offset));
            (record(activation::STORE_CONTEXT) & activation::NESTED != 0).then(|| Self {
                entry: record(activation::PREVIOUS_ENTRY_FP),
                exit_fp: record(activation::PREVIOUS_EXIT_FP),
                exit_pc: record(activation::PREVIOUS_EXIT_PC),
                exit_callee: record(activation::PREVIOUS_EXIT_CALLEE),
            })
        }
    }
}

/// Returns the context of the store that owns the activation whose entry stub has this frame.
///
/// # Safety
///
/// The conditions of [`Waiting::before`] apply.
#[inline]
pub(crate) unsafe fn store_of(entry: usize) -> VmPtr<StoreContext> {
    // SAFETY: the caller's promise.
    let record = unsafe { read_guest_stack(entry.wrapping_add_signed(activation::STORE_CONTEXT)) };
    VmPtr::at(record & !activation::FLAGS)
}
