#![doc = include_str!("invariants.md")]

/// Reads a word of a native stack that guest frames or activation records lie on.
///
/// # Safety
///
/// `address` must lie in a live frame of this thread's guest stack (GUEST-FRAMES, ACTIVATION-RECORD).
#[inline]
pub(crate) unsafe fn read_guest_stack(address: usize) -> usize {
    // SAFETY: the caller's promise. The stack is mapped and words on it are aligned.
    unsafe { std::ptr::with_exposed_provenance::<usize>(address).read_volatile() }
}
