//! Statistics of the collector.

use std::time::Duration;

/// What the collector of a store has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct GcStats {
    /// Collections of the nursery, including those at the start of a collection of the old space.
    pub minor_collections: u64,
    /// Collections of the old space.
    pub major_collections: u64,
    /// Bytes of objects that guests and host allocated, updated at each collection.
    pub allocated_bytes: u64,
    /// Bytes that survived a collection of the nursery.
    pub promoted_bytes: u64,
    /// Bytes of the old space in use now.
    pub old_bytes: u64,
    /// Bytes of the old space that were alive after its last collection.
    pub live_bytes: u64,
    /// Time that guests waited for collections of the nursery only.
    pub minor_pause: Duration,
    /// The longest of these pauses.
    pub longest_minor_pause: Duration,
    /// Time that guests waited for collections of the old space.
    pub major_pause: Duration,
    /// The longest of these pauses.
    pub longest_major_pause: Duration,
}
