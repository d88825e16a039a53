#![doc = include_str!("invariants.md")]

use crate::vm_ptr::VmPtr;

/// Reads a word of a native stack that guest frames or activation records lie on.
///
/// # Safety
///
/// `address` must lie in a live frame of this thread's guest stack (GUEST-FRAMES, ACTIVATION-RECORD).
#[inline]
pub(crate) unsafe fn read_guest_stack(address: usize) -> usize {
    // SAFETY: the caller's promise. The stack is mapped and words on it are aligned.
    unsafe { VmPtr::<usize>::at(address).as_ptr().read_volatile() }
}

/// Writes a word of a native stack.
///
/// # Safety
///
/// `address` must lie where guest code of this thread, which was interrupted, would create its next frame
/// (GUEST-FRAMES).
#[inline]
pub(crate) unsafe fn write_guest_stack(address: usize, word: usize) {
    // SAFETY: the caller's promise. The stack is mapped and words on it are aligned.
    unsafe { VmPtr::<usize>::at(address).as_ptr().write_volatile(word) }
}
