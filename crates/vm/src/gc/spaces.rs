//! Where the spaces of a heap lie.

use belljar_abi::gc::NURSERY;

/// Bytes of the nursery. It fits the second-level cache of current processors beside what the guest works on; what
/// survives a collection of it is copied in well below a millisecond.
pub(crate) const NURSERY_SIZE: u32 = 512 << 10;

/// Where the old space begins.
pub(super) const OLD: u32 = NURSERY + NURSERY_SIZE;
