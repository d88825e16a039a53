//! Collection of the old space: live objects slide down over dead ones, in order and in place.
//!
//! There is one bit for each 8 bytes of the old space. Marking sets the bits of a whole object. An object's new place
//! is then the number of bits before its own, found by a running sum for each block of 64 and a population count (the
//! offset-vector idea of Kermany and Petrank's Compressor, PLDI 2006). So the collection needs an additional 64th of
//! the old space, and no second copy.

use super::heap::GcHeap;
use super::shape::{Shape, Shapes};
use super::spaces::OLD;
use crate::interrupt::{Interrupt, STRIDE, strides};
use belljar_abi::gc::{ELEMENTS, INDEX, LENGTH};

/// The cost of following a reference in the interrupt budget, in copied bytes: as many as are copied during a cache
/// miss.
const MISS: u32 = 256;

/// The number of bytes of an array's references between two checks for an interrupt.
const SLOTS: u32 = 16 << 10;

/// How many objects ahead memory is prefetched.
const AHEAD: usize = 16;

/// Returns whether a reference is to an object: neither null nor a small integer.
fn is_object(reference: u32) -> bool {
    reference != 0 && reference & 1 == 0
}

impl GcHeap {
    /// Marks everything that is reachable from the roots, unless interrupted. The nursery is empty.
    ///
    /// Objects are scattered, so most are not in the cache: each is prefetched a few objects before it is visited
    /// (Cher, Hosking and Vitek, "Software prefetching for mark-sweep garbage collection", ASPLOS 2004).
    pub(super) fn mark(
        &mut self,
        shapes: &Shapes,
        interrupt: &Interrupt,
        roots: impl FnOnce(&mut dyn FnMut(&mut u32)),
    ) {
        self.marks.clear(self.old_top - OLD);
        roots(&mut |root| self.mark_object(*root));
        let (mut coming, mut place, mut idle) = ([None; AHEAD], 0, 0);
        while idle < AHEAD && !interrupt.is_due() {
            let next = self.marks.pending.pop();
            if let Some(object) = next {
                self.prefetch(object);
            }
            let due = std::mem::replace(&mut coming[place], next);
            place = (place + 1) % AHEAD;
            idle = if due.is_none() && next.is_none() { idle + 1 } else { 0 };
            if let Some(object) = due {
                self.follow(object, shapes, interrupt);
            }
        }
    }

    #[inline]
    fn mark_object(&mut self, reference: u32) {
        if is_object(reference) && self.marks.set_first(reference) {
            self.marks.pending.push(reference);
        }
    }

    /// Marks an object, and the objects that it refers to as pending.
    #[inline]
    fn follow(&mut self, object: u32, shapes: &Shapes, interrupt: &Interrupt) {
        let shape = shapes.get(self.word(object));
        let size = self.size_of(object, shape);
        self.marks.set(object, size);
        interrupt.after(MISS);
        self.for_each_slot(object, shape, interrupt, |heap, slot| {
            let reference = heap.word(slot);
            heap.mark_object(reference);
        });
    }

    /// Visits every slot of an object that holds a reference, unless interrupted.
    #[inline]
    fn for_each_slot(
        &mut self,
        object: u32,
        shape: &Shape,
        interrupt: &Interrupt,
        mut visit: impl FnMut(&mut Self, u32),
    ) {
        match shape {
            Shape::Fields(layout) => layout.traced.iter().for_each(|slot| visit(self, object + slot)),
            Shape::Array(layout) if layout.traced => {
                let end = ELEMENTS + self.word(object + LENGTH) * 4;
                for piece in (ELEMENTS..end).step_by(SLOTS as usize) {
                    let piece_end = piece.saturating_add(SLOTS).min(end);
                    if interrupt.after((piece_end - piece) / 4 * MISS) {
                        return;
                    }
                    (piece..piece_end).step_by(4).for_each(|slot| visit(self, object + slot));
                }
            }
            Shape::Array(_) | Shape::Extern => {}
        }
    }

    /// Compacts the marked objects, unless interrupted. `roots` visits every root. Returns the indices of host values
    /// that died.
    pub(super) fn compact(
        &mut self,
        shapes: &Shapes,
        interrupt: &Interrupt,
        roots: impl FnOnce(&mut dyn FnMut(&mut u32)),
    ) -> Vec<u32> {
        let live = self.marks.sum();
        let dead = self.sweep_old_externs();
        roots(&mut |root| {
            if is_object(*root) {
                *root = self.marks.destination(*root);
            }
        });
        let old_top = self.old_top;
        // Lower objects move before higher ones, so anything that is overwritten has already moved.
        self.starts.clear();
        let (mut at, mut to) = (OLD, OLD);
        while at < old_top && !interrupt.is_due() {
            let Some(object) = self.marks.next(at) else { break };
            let shape = shapes.get(self.word(object));
            let size = self.size_of(object, shape);
            interrupt.after(MISS);
            self.for_each_slot(object, shape, interrupt, |heap, slot| {
                let reference = heap.word(slot);
                if is_object(reference) {
                    let to = heap.marks.destination(reference);
                    heap.set_word(slot, to);
                }
            });
            self.record_start(to, size);
            if to != object {
                // From the start to the end, so that no piece overwrites one that is still to be read.
                for piece in strides(size as usize, STRIDE, false) {
                    if interrupt.after(piece.len() as u32) {
                        break;
                    }
                    let start = piece.start as u32;
                    self.copy(object + start, to + start, piece.len() as u32);
                }
            }
            to += size;
            at = object + size;
        }
        if interrupt.is_due() {
            return dead;
        }
        // The nursery is empty, so no reference into it is left.
        self.cards().fill(0);
        self.old_reached = self.old_reached.max(old_top);
        self.old_top = OLD + live;
        self.stats.major_collections += 1;
        self.stats.live_bytes = u64::from(live);
        dead
    }

    fn sweep_old_externs(&mut self) -> Vec<u32> {
        let mut dead = Vec::new();
        for object in std::mem::take(&mut self.old_externs) {
            if self.marks.is_marked(object) {
                let to = self.marks.destination(object);
                self.old_externs.push(to);
            } else {
                dead.push(self.word(object + INDEX));
            }
        }
        dead
    }
}
