//! Prefetches memory into the cache.

/// Begins to fetch the cache line at an address, if it is mapped; otherwise does nothing.
#[inline]
pub(crate) fn prefetch(address: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: every x86-64 processor has the instruction, which neither faults nor changes memory.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address)) };
}
