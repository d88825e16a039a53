//! Where the spaces of a heap lie.

use belljar_abi::gc::NURSERY;

/// The size of the nursery in bytes. It fits into the second-level cache of current processors together with the
/// guest's working set; copying what survives a collection takes well below a millisecond.
pub(crate) const NURSERY_SIZE: u32 = 512 << 10;

/// The offset where the old space begins.
pub(super) const OLD: u32 = NURSERY + NURSERY_SIZE;
