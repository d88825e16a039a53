//! Asking the processor for memory ahead of its use.

/// Begins to fetch the cache line at an address, if it is memory of ours; otherwise does nothing.
#[inline]
pub(crate) fn prefetch(address: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction belongs to every processor of this kind, and neither faults nor changes memory.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address)) };
}
