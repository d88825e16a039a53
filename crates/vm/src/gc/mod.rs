//! A store's garbage collector: generational, moving, precise.
//!
//! In: requests for objects, and the store, which knows where references to them lie. Out: references. Objects are
//! allocated in a nursery; when it is full, its live objects move to the old space ([`scavenge`]). When that has grown
//! enough, it is compacted in place ([`compact`]). The layout that guest code relies on is in [`belljar_abi::gc`].
//!
//! Roots: slots of guest frames that compiled code names in its stack maps, globals, tables, evaluated element
//! segments, and the host's handles.

mod alloc;
mod api;
mod checkpoint;
mod compact;
mod heap;
mod marks;
mod objects;
mod root_scan;
mod roots;
mod scavenge;
mod shape;
mod spaces;
mod stats;

pub(crate) use checkpoint::GcCheckpoint;
pub(crate) use heap::GcHeap;
pub(crate) use roots::{OuterRun, Roots};
pub use roots::{OwnedRoot, Root, RootScope};
pub(crate) use shape::Shapes;
pub use stats::GcStats;

/// A store's heap with its shapes and its grant.
#[derive(Debug)]
pub(crate) struct Gc {
    pub(crate) heap: GcHeap,
    pub(crate) shapes: Shapes,
    /// Bytes that the limiter has granted the heap.
    granted: u32,
}

impl Gc {
    /// Returns the number of bytes that the limiter has granted the heap.
    pub(crate) fn granted(&self) -> u64 {
        u64::from(self.granted)
    }
}
