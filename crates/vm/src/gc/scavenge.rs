//! Collection of the nursery: its live objects move to the old space (Cheney's algorithm, with the old space as
//! to-space). The roots are the store's and the slots of dirty cards.

use super::heap::GcHeap;
use super::shape::{Shape, Shapes};
use super::spaces::{NURSERY_SIZE, OLD};
use crate::interrupt::Interrupt;
use belljar_abi::gc::{ALIGN, CARD_SIZE, ELEMENTS, INDEX, LENGTH, NURSERY, header};

/// How many cards ahead memory is prefetched: dirty cards are scattered over the old space.
const AHEAD: usize = 8;

/// Returns whether a reference is to an object of the nursery.
#[inline]
fn is_young(reference: u32) -> bool {
    // Null wraps around to a large number; a small integer is odd.
    reference.wrapping_sub(NURSERY) < NURSERY_SIZE && reference & 1 == 0
}

impl GcHeap {
    /// Moves an object of the nursery and returns its new reference; returns any other reference unchanged.
    #[inline]
    fn promote(&mut self, reference: u32, shapes: &Shapes) -> u32 {
        if !is_young(reference) {
            return reference;
        }
        let head = self.word(reference);
        if head & header::MOVED != 0 {
            return (head & !header::MOVED) * ALIGN;
        }
        let size = self.size_of(reference, shapes.get(head));
        // The collection began with room for all of the nursery.
        let to = self.old_top;
        self.old_top += size;
        self.record_start(to, size);
        self.copy_words(reference, to, size);
        self.set_word(reference, header::MOVED | (to / ALIGN));
        to
    }

    #[inline]
    fn scavenge_slot(&mut self, slot: u32, shapes: &Shapes) {
        let reference = self.word(slot);
        if is_young(reference) {
            let moved = self.promote(reference, shapes);
            self.set_word(slot, moved);
        }
    }

    /// Promotes the objects that an object's slots between two offsets of the heap refer to. Returns the object's size.
    #[inline]
    fn scavenge_object(&mut self, object: u32, from: u32, to: u32, shapes: &Shapes) -> u32 {
        let shape = shapes.get(self.word(object));
        let size = self.size_of(object, shape);
        match shape {
            Shape::Fields(layout) => {
                for slot in layout.traced.iter().map(|slot| object + slot) {
                    if slot >= from && slot < to {
                        self.scavenge_slot(slot, shapes);
                    }
                }
            }
            Shape::Array(layout) if layout.traced => {
                let first = (object + ELEMENTS).max(from);
                let end = (object + ELEMENTS + self.word(object + LENGTH) * 4).min(to);
                for slot in (first..end).step_by(4) {
                    self.scavenge_slot(slot, shapes);
                }
            }
            Shape::Array(_) | Shape::Extern => {}
        }
        size
    }

    /// Promotes everything that is reachable from the roots and the dirty cards. `roots` visits every root. The nursery
    /// is empty afterwards, unless the collection was interrupted. Returns the indices of host values that died.
    pub(super) fn scavenge(
        &mut self,
        shapes: &Shapes,
        interrupt: &Interrupt,
        roots: impl FnOnce(&mut dyn FnMut(&mut u32)),
    ) -> Vec<u32> {
        let used = self.nursery_top() - NURSERY;
        let begin = self.old_top;
        // Before anything is promoted: promoted objects are scanned as a whole.
        self.scavenge_cards(begin, shapes, interrupt);
        roots(&mut |root| *root = self.promote(*root, shapes));
        let mut scanned = begin;
        while scanned < self.old_top && !interrupt.is_due() {
            let size = self.scavenge_object(scanned, 0, u32::MAX, shapes);
            interrupt.after(size);
            scanned += size;
        }
        if interrupt.is_due() {
            return Vec::new();
        }
        let dead = self.sweep_young_externs();
        self.reset_nursery();
        self.stats.minor_collections += 1;
        self.stats.allocated_bytes += u64::from(used);
        self.stats.promoted_bytes += u64::from(self.old_top - begin);
        dead
    }

    fn scavenge_cards(&mut self, end: u32, shapes: &Shapes, interrupt: &Interrupt) {
        let mut dirty = std::mem::take(&mut self.dirty_cards);
        self.take_dirty(((end - OLD).div_ceil(CARD_SIZE)) as usize, &mut dirty);
        for (i, &card) in dirty.iter().enumerate() {
            if let Some(&coming) = dirty.get(i + AHEAD) {
                self.prefetch(self.starts[coming as usize]);
                self.prefetch(OLD + coming * CARD_SIZE + CARD_SIZE / 2);
            }
            if interrupt.after(CARD_SIZE) {
                break;
            }
            let from = OLD + card * CARD_SIZE;
            let to = (from + CARD_SIZE).min(end);
            let mut object = self.starts[card as usize];
            while object < to {
                object += self.scavenge_object(object, from, to, shapes);
            }
        }
        dirty.clear();
        self.dirty_cards = dirty;
    }

    /// Lists the dirty ones of the first `count` cards, and cleans them.
    fn take_dirty(&mut self, count: usize, dirty: &mut Vec<u32>) {
        // Most are clean, so check eight at a time.
        for (eight, cards) in self.cards()[..count].chunks_mut(8).enumerate() {
            if *cards == [0; 8] {
                continue;
            }
            for (i, card) in cards.iter_mut().enumerate() {
                if std::mem::take(card) != 0 {
                    dirty.push((eight * 8 + i) as u32);
                }
            }
        }
    }

    /// Updates the list of host values that moved. Returns the indices of those that died.
    fn sweep_young_externs(&mut self) -> Vec<u32> {
        let mut dead = Vec::new();
        for object in std::mem::take(&mut self.young_externs) {
            let head = self.word(object);
            match head & header::MOVED {
                0 => dead.push(self.word(object + INDEX)),
                _ => self.old_externs.push((head & !header::MOVED) * ALIGN),
            }
        }
        dead
    }
}
