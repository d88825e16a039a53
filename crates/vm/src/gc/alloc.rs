//! Allocation of objects, and the decision when to collect.

use super::heap::LARGE;
use super::spaces::{NURSERY_SIZE, OLD};
use super::{Gc, GcHeap, GcStats, Shapes};
use crate::quota::Refusal;
use crate::store::StoreCore;
use crate::store_mut::StoreMut;
use belljar_abi::gc::{ELEMENTS, INDEX, LENGTH, header};
use belljar_core::{ByteCount, Context, DataIndex, InstanceId, Trap, TypeId};
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

/// The old space may fill to this many quarters of what was alive in it before it is collected again. A smaller factor
/// would collect more often; a larger one would need more memory than twice what is alive.
const GROWTH_QUARTERS: u64 = 7;

/// The least number of bytes that it may fill beyond what was alive.
const GROWTH_LEAST: u64 = 2 << 20;

impl StoreCore {
    /// Returns the store's heap, which the first call creates.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no address space for it.
    #[inline]
    pub(crate) fn gc(&mut self) -> belljar_core::Result<&mut Gc> {
        if self.heap.gc.is_none() {
            self.make_gc()?;
        }
        Ok(self.heap.gc.as_mut().expect("just made"))
    }

    #[cold]
    fn make_gc(&mut self) -> belljar_core::Result<()> {
        belljar_core::ensure!(
            self.heap.abandoned.is_none(),
            "the guest was killed while its objects were being collected: objects of the store are unusable"
        );
        let heap = GcHeap::new(self.runtime.gc_stress);
        let heap = heap.context("no address space for the store's garbage-collected heap")?;
        self.heap.gc = Some(Gc { heap, shapes: Shapes::new(&self.runtime.types), granted: 0 });
        Ok(())
    }

    /// Returns the heap and the bytes of a data segment, which are empty if the segment was dropped.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StoreCore::gc`].
    pub(crate) fn gc_and_data(
        &mut self,
        instance: InstanceId,
        segment: DataIndex,
    ) -> belljar_core::Result<(&mut Gc, &[u8])> {
        self.gc()?;
        let dropped = self.is_data_dropped(instance, segment);
        let bytes: &[u8] = match dropped {
            true => &[],
            false => self.entities.instances[instance.index()].module().module().data_bytes(segment),
        };
        Ok((self.heap.gc.as_mut().expect("just made"), bytes))
    }

    /// Returns the address of the heap's base.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StoreCore::gc`].
    pub(crate) fn gc_base(&mut self) -> belljar_core::Result<usize> {
        Ok(self.gc()?.heap.base())
    }
}

impl StoreMut<'_> {
    /// Allocates an object of `size` bytes with this header; the rest of its contents is undefined. If it lies in the
    /// old space its cards are dirty, so that it may be filled without a barrier.
    ///
    /// # Errors
    ///
    /// Returns [`Trap::GcHeapExhausted`] with the limit, or the limiter's error.
    pub(crate) fn gc_alloc(&mut self, head: u32, size: u32) -> belljar_core::Result<u32> {
        let heap = &mut self.gc()?.heap;
        if size <= LARGE
            && !heap.stress
            && let Some(at) = heap.take_young(size)
        {
            heap.set_word(at, head);
            return Ok(at);
        }
        let at = self.alloc_slowly(size)?;
        self.gc()?.heap.set_word(at, head);
        Ok(at)
    }

    #[cold]
    fn alloc_slowly(&mut self, size: u32) -> belljar_core::Result<u32> {
        if size > LARGE {
            return self.alloc_large(size);
        }
        let all = self.gc()?.heap.stress;
        self.collect(all)?;
        self.gc()?.heap.take_young(size).context("an empty nursery has room")
    }

    fn alloc_large(&mut self, size: u32) -> belljar_core::Result<u32> {
        self.request_initial_size()?;
        let gc = self.gc()?;
        let limit = gc.heap.old_limit;
        let at = match gc.heap.take_old(size, limit) {
            Some(at) => at,
            None => {
                self.collect(true)?;
                self.grow_old(size)?;
                let heap = &mut self.gc()?.heap;
                let limit = heap.old_limit;
                heap.take_old(size, limit).ok_or(Trap::GcHeapExhausted)?
            }
        };
        let heap = &mut self.gc()?.heap;
        heap.dirty(at, size);
        heap.stats.allocated_bytes += u64::from(size);
        Ok(at)
    }

    /// Allocates an array of zeros or nulls.
    ///
    /// # Errors
    ///
    /// Returns [`Trap::AllocationTooLarge`], or an error of [`StoreMut::gc_alloc`].
    pub(crate) fn gc_alloc_array(&mut self, ty: TypeId, length: u32) -> belljar_core::Result<u32> {
        let layout = self.gc()?.shapes.array(ty).context("belljar bug: not an array type")?;
        let size = layout.size(length).ok_or(Trap::AllocationTooLarge)?;
        let at = self.gc_alloc(ty.0 | header::ARRAY, size)?;
        self.gc()?.heap.set_word(at + LENGTH, length);
        self.zero_object(at + ELEMENTS, size - ELEMENTS)?;
        Ok(at)
    }

    /// Allocates an object that stands for a host value.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StoreMut::gc_alloc`].
    pub(crate) fn gc_alloc_extern(&mut self, value: Arc<dyn Any + Send + Sync>) -> belljar_core::Result<u32> {
        let at = self.gc_alloc(header::EXTERN, ELEMENTS)?;
        let index = self.entities.externs.insert(value);
        let heap = &mut self.gc()?.heap;
        heap.set_word(at + INDEX, index);
        heap.young_externs.push(at);
        Ok(at)
    }

    /// Collects the nursery, and also the old space if it has grown enough or if `all` is set.
    ///
    /// # Errors
    ///
    /// Returns [`Trap::GcHeapExhausted`] if what is alive exceeds the limit, the limiter's error, or an error if the
    /// guest was killed.
    pub(crate) fn collect(&mut self, all: bool) -> belljar_core::Result<()> {
        if let Some(reason) = &self.killed {
            belljar_core::bail!(
                "the store's guest was killed ({reason}), perhaps while it changed objects: they cannot be collected"
            );
        }
        self.request_initial_size()?;
        let Some(mut gc) = self.heap.gc.take() else { return Ok(()) };
        let start = Instant::now();
        gc.shapes.prepare();
        let interrupt = self.interrupt();
        let mut dead =
            gc.heap.scavenge(&gc.shapes, &interrupt, |visit| self.for_each_root(&interrupt, visit));
        if interrupt.is_due() {
            return Err(self.abandon(gc, dead));
        }
        let full = gc.heap.old_top + NURSERY_SIZE > gc.heap.old_limit;
        let stats = &mut gc.heap.stats;
        if !all && !full {
            let pause = start.elapsed();
            stats.minor_pause += pause;
            stats.longest_minor_pause = stats.longest_minor_pause.max(pause);
            self.heap.gc = Some(gc);
            self.publish_memory_size();
            self.drop_externs(dead);
            return Ok(());
        }
        let used = gc.heap.old_top;
        gc.heap.mark(&gc.shapes, &interrupt, |visit| self.for_each_root(&interrupt, visit));
        if !interrupt.is_due() {
            let roots = |visit: &mut dyn FnMut(&mut u32)| self.for_each_root(&interrupt, visit);
            dead.extend(gc.heap.compact(&gc.shapes, &interrupt, roots));
        }
        if interrupt.is_due() {
            return Err(self.abandon(gc, dead));
        }
        let live = u64::from(gc.heap.old_top - OLD);
        let wanted = (live * GROWTH_QUARTERS / 4).max(live + GROWTH_LEAST) + u64::from(NURSERY_SIZE);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).saturating_add(OLD).min(gc.heap.old_end());
        gc.heap.old_limit = wanted.min(gc.granted.max(gc.heap.old_limit));
        gc.heap.give_back(used);
        let pause = start.elapsed();
        let stats = &mut gc.heap.stats;
        stats.major_pause += pause;
        stats.longest_major_pause = stats.longest_major_pause.max(pause);
        self.heap.gc = Some(gc);
        self.publish_memory_size();
        self.drop_externs(dead);
        if wanted > self.gc()?.heap.old_limit {
            self.request_size(wanted)?;
        }
        // All of the nursery may survive the next collection.
        self.grow_old(NURSERY_SIZE)
    }

    /// Ensures that `size` bytes fit into the old space.
    fn grow_old(&mut self, size: u32) -> belljar_core::Result<()> {
        let heap = &self.gc()?.heap;
        let needed = heap.old_top.saturating_add(size);
        if needed <= heap.old_limit {
            return Ok(());
        }
        let end = heap.old_end();
        // It may belong to something else.
        let before = self.limits.refused.take();
        let allowed = needed <= end && self.request_size(needed)?;
        let why = self.limits.refused;
        self.limits.refused = why.or(before);
        if allowed {
            return Ok(());
        }
        let heap = &self.gc()?.heap;
        let [used, more, limit] = ByteCount::in_one_unit([heap.old_top, size, heap.old_limit].map(u64::from));
        let error = belljar_core::Error::new(Trap::GcHeapExhausted).context(format!(
            "the garbage-collected heap is exhausted: {used} are alive, {more} more are needed, and its limit is {limit}",
        ));
        Err(match why {
            Some(Refusal::Store(exceeded)) => error.context(exceeded),
            Some(Refusal::Engine(exceeded)) => error.context(exceeded),
            None => error,
        })
    }

    /// Asks the limiter, once, for the initial size of the old space.
    fn request_initial_size(&mut self) -> belljar_core::Result<()> {
        let Some(gc) = &mut self.heap.gc else { return Ok(()) };
        if gc.granted == 0 {
            let wanted = std::mem::replace(&mut gc.heap.old_limit, OLD);
            gc.granted = OLD;
            self.request_size(wanted)?;
        }
        Ok(())
    }

    /// Asks the limiter whether the heap may grow to `end`.
    fn request_size(&mut self, end: u32) -> belljar_core::Result<bool> {
        let current = self.gc()?.heap.old_limit;
        self.limited(|store, growth_limiter| {
            let allowed = match growth_limiter.limiter() {
                Some(limiter) => limiter.gc_heap_growing(current as usize, end as usize)?,
                None => true,
            };
            if allowed {
                let gc = store.gc()?;
                gc.heap.old_limit = end;
                gc.granted = end;
            }
            Ok(allowed)
        })
    }

    /// Creates a reference to a host value, which the store keeps while a guest or a handle can reach it.
    ///
    /// # Errors
    ///
    /// Returns an error if the garbage-collected heap is full.
    pub fn new_extern(
        &mut self,
        value: Arc<dyn Any + Send + Sync>,
    ) -> belljar_core::Result<crate::RawExtern> {
        Ok(crate::RawExtern(self.gc_alloc_extern(value)?))
    }
}

impl StoreCore {
    /// Abandons a heap whose collection was interrupted because the guest is to end. Its objects are inconsistent, and
    /// nothing reads them until the store is rewound to a checkpoint.
    #[cold]
    fn abandon(&mut self, gc: Gc, dead: Vec<u32>) -> belljar_core::Error {
        self.heap.abandoned = Some(Box::new(gc));
        self.drop_externs(dead);
        Trap::Interrupt.into()
    }

    /// Drops host values that no guest can reach any more. Their destructors run last, when everything is consistent.
    fn drop_externs(&mut self, dead: Vec<u32>) {
        let values: Vec<_> =
            dead.into_iter().filter_map(|index| self.entities.externs.remove(index)).collect();
        drop(values);
    }

    /// Returns what the collector has done so far; all zero if there is no heap yet.
    pub fn gc_stats(&self) -> GcStats {
        let Some(gc) = &self.heap.gc else { return GcStats::default() };
        let mut stats = gc.heap.stats;
        stats.old_bytes = u64::from(gc.heap.old_top - OLD);
        stats.allocated_bytes += u64::from(gc.heap.nursery_top() - belljar_abi::gc::NURSERY);
        stats
    }
}
