//! Which ranges of a store's memories the host may write to: those that guests have handed out.
//!
//! In: allocations that the host owns, and ranges that the embedder declares. Out: whether ranges overlap, and which
//! part of a write was not handed out. They are kept with the store, and a reset clears them.

use crate::free_queue::FreeQueue;
use crate::guest_layout::GuestLayout;
use crate::store_extension::{Slot, StorePart, part, part_mut};
use belljar_core::FuncRefId;
use belljar_vm::StoreCore;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The ranges of all memories of a store.
#[derive(Default)]
pub(crate) struct GuestRanges {
    /// Whether host writes are checked against them.
    checks: bool,
    memories: BTreeMap<usize, MemoryRanges>,
}

/// The ranges of one memory.
#[derive(Default)]
pub(crate) struct MemoryRanges {
    /// Allocations that the host owns, which never overlap: start and end.
    owned: BTreeMap<u64, u64>,
    /// Ranges that the embedder declared, none of which touch: start and end.
    declared: BTreeMap<u64, u64>,
    /// The queues of the allocators that the host has found: finding an allocator again returns the same queue.
    free_queues: Vec<(AllocatorKey, Arc<FreeQueue>)>,
    /// The memory's layouts, and how many instances the store had when they were determined.
    layouts: Option<(usize, Arc<[GuestLayout]>)>,
}

impl GuestRanges {
    /// Turns on checks of host writes to the store's memories.
    pub(crate) fn check_writes(core: &mut StoreCore) {
        part_mut::<Self>(core).checks = true;
    }

    /// Returns whether host writes are checked.
    #[inline]
    pub(crate) fn are_checked(core: &StoreCore) -> bool {
        part::<Self>(core).is_some_and(|ranges| ranges.checks)
    }

    /// Returns the ranges of a memory.
    pub(crate) fn of_memory(core: &mut StoreCore, memory: usize) -> &mut MemoryRanges {
        part_mut::<Self>(core).memories.entry(memory).or_default()
    }
}

impl StorePart for GuestRanges {
    const SLOT: Slot = Slot::GuestRanges;

    fn reset(&mut self) {
        self.memories.clear();
    }
}

/// The functions of an allocator: the allocating one, and the freeing one.
pub(crate) type AllocatorKey = (FuncRefId, Option<FuncRefId>);

impl MemoryRanges {
    /// Returns the queue of an allocator of this memory.
    pub(crate) fn free_queue(&mut self, allocator: AllocatorKey) -> Arc<FreeQueue> {
        if let Some((_, queue)) = self.free_queues.iter().find(|(known, _)| *known == allocator) {
            return queue.clone();
        }
        let queue = Arc::new(FreeQueue::default());
        self.free_queues.push((allocator, queue.clone()));
        queue
    }

    /// Returns the allocation of the host that overlaps a range, if there is one.
    pub(crate) fn overlapping(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let (start, end) = self.owned.range(..range.end).next_back()?;
        (*end > range.start).then_some(*start..*end)
    }

    /// Records an allocation, which overlaps no other.
    pub(crate) fn own(&mut self, range: Range<u64>) {
        self.owned.insert(range.start, range.end);
    }

    /// Removes an allocation that the host has freed.
    pub(crate) fn disown(&mut self, range: &Range<u64>) {
        self.owned.remove(&range.start);
    }

    /// Records that the guest expects the host to write to a range.
    pub(crate) fn declare(&mut self, mut range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // It is merged with all ranges that it overlaps or touches.
        while let Some((&start, &end)) = self.declared.range(..=range.end).next_back()
            && end >= range.start
        {
            self.declared.remove(&start);
            range = range.start.min(start)..range.end.max(end);
        }
        self.declared.insert(range.start, range.end);
    }

    /// Removes a range from the declared ones.
    pub(crate) fn undeclare(&mut self, range: &Range<u64>) {
        while let Some((&start, &end)) = self.declared.range(..range.end).next_back()
            && end > range.start
        {
            self.declared.remove(&start);
            if start < range.start {
                self.declared.insert(start, range.start);
            }
            if range.end < end {
                self.declared.insert(range.end, end);
            }
        }
    }

    /// Returns the first address of a range that was not handed out.
    pub(crate) fn first_foreign(&self, range: &Range<u64>) -> Option<u64> {
        let mut at = range.start;
        while at < range.end {
            let end = |ranges: &BTreeMap<u64, u64>| ranges.range(..=at).next_back().map(|(_, end)| *end);
            match end(&self.owned).max(end(&self.declared)) {
                Some(end) if end > at => at = end,
                _ => return Some(at),
            }
        }
        None
    }

    /// Returns the memory's layouts, if they were determined for this number of instances.
    pub(crate) fn known_layouts(&self, instances: usize) -> Option<Arc<[GuestLayout]>> {
        let (count, layouts) = self.layouts.as_ref()?;
        (*count == instances).then(|| layouts.clone())
    }

    /// Keeps the layouts while the store has this number of instances.
    pub(crate) fn keep_layouts(&mut self, instances: usize, layouts: &Arc<[GuestLayout]>) {
        self.layouts = Some((instances, layouts.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_ranges_join_and_are_cut() {
        let mut ranges = MemoryRanges::default();
        ranges.declare(10..20);
        ranges.declare(30..40);
        ranges.declare(20..25);
        assert_eq!(ranges.declared, BTreeMap::from([(10, 25), (30, 40)]));
        ranges.declare(0..100);
        assert_eq!(ranges.declared, BTreeMap::from([(0, 100)]));
        ranges.undeclare(&(20..30));
        ranges.undeclare(&(90..200));
        assert_eq!(ranges.declared, BTreeMap::from([(0, 20), (30, 90)]));
        ranges.undeclare(&(10..40));
        assert_eq!(ranges.declared, BTreeMap::from([(0, 10), (40, 90)]));
    }

    #[test]
    fn a_write_may_span_ranges_of_both_kinds() {
        let mut ranges = MemoryRanges::default();
        ranges.own(10..20);
        ranges.own(20..30);
        ranges.declare(25..50);
        assert_eq!(ranges.first_foreign(&(10..50)), None);
        assert_eq!(ranges.first_foreign(&(9..50)), Some(9));
        assert_eq!(ranges.first_foreign(&(12..60)), Some(50));
        assert_eq!(ranges.first_foreign(&(70..70)), None);
        ranges.disown(&(20..30));
        assert_eq!(ranges.first_foreign(&(12..40)), Some(20));
        assert_eq!(ranges.overlapping(&(19..25)), Some(10..20));
        assert_eq!(ranges.overlapping(&(20..25)), None);
        assert_eq!(ranges.overlapping(&(0..10)), None);
    }
}
