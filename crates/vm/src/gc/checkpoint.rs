//! Going back: the heap of objects, as it was after a collection.

use super::heap::OLD;
use super::{Gc, GcStats, Shapes};
use crate::externs::Externs;
use crate::store::StoreCore;
use belljar_abi::gc::NURSERY;

/// What a heap was, with an empty nursery.
#[derive(Debug)]
pub(crate) struct GcCheckpoint {
    /// The old space.
    objects: Box<[u8]>,
    old_limit: u32,
    starts: Vec<u32>,
    old_externs: Vec<u32>,
    externs: Externs,
    granted: u32,
    stats: GcStats,
}

impl Gc {
    /// What it is now, after a collection of all.
    pub(crate) fn checkpoint(&self, externs: &Externs) -> GcCheckpoint {
        let heap = &self.heap;
        let mut old_externs = heap.old_externs.clone();
        old_externs.extend(&heap.young_externs);
        GcCheckpoint {
            objects: heap.bytes(OLD, heap.old_top - OLD).into(),
            old_limit: heap.old_limit,
            starts: heap.starts.clone(),
            old_externs,
            externs: externs.clone(),
            granted: self.granted,
            stats: heap.stats,
        }
    }
}

impl StoreCore {
    /// Makes the heap again what it was. What guests made since is gone, and its room cleared. The host's values up to now.
    pub(crate) fn rewind_gc(&mut self, to: &GcCheckpoint) -> Externs {
        if let Some(gc) = &mut self.gc {
            let heap = &mut gc.heap;
            let used = heap.old_top.max(heap.old_reached);
            // What a collection moved lies where it was, until something else is made there.
            let was_collected = heap.stats.minor_collections != to.stats.minor_collections;
            let top = if was_collected { OLD } else { heap.nursery_top() };
            heap.zero(NURSERY, top - NURSERY);
            heap.reset_nursery();
            heap.cards().fill(0);
            heap.old_top = OLD + to.objects.len() as u32;
            heap.bytes_mut(OLD, to.objects.len() as u32).copy_from_slice(&to.objects);
            if used > heap.old_top {
                heap.wipe(heap.old_top, used - heap.old_top);
            }
            heap.old_reached = heap.old_top;
            heap.old_limit = to.old_limit;
            heap.starts.clone_from(&to.starts);
            heap.young_externs.clear();
            heap.old_externs.clone_from(&to.old_externs);
            heap.dirty_cards.clear();
            heap.stats = to.stats;
            gc.granted = to.granted;
            // Types that came since go, and their numbers are given to others.
            gc.shapes = Shapes::new(&self.runtime.types);
        }
        std::mem::replace(&mut self.externs, to.externs.clone())
    }
}
