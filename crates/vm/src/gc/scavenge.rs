//! Collecting the nursery: what is alive in it moves to the old space (Cheney's algorithm, with the old space as
//! to-space). Roots are the store's and the slots of dirty cards.

use super::heap::{GcHeap, OLD};
use super::shape::{Shape, Shapes};
use belljar_abi::gc::{ALIGN, CARD_SIZE, ELEMENTS, LENGTH, header};
use std::ops::Range;

/// Whether a reference is to an object of the nursery.
fn is_young(reference: u32) -> bool {
    // Null wraps around to a large number.
    reference.wrapping_sub(belljar_abi::gc::NURSERY) < super::heap::NURSERY_SIZE && reference & 1 == 0
}

impl GcHeap {
    /// Where an object of the nursery lies from now on; any other reference is itself.
    #[inline]
    pub(super) fn promote(&mut self, reference: u32, shapes: &mut Shapes) -> u32 {
        if !is_young(reference) {
            return reference;
        }
        let head = self.word(reference);
        if head & header::MOVED != 0 {
            return (head & !header::MOVED) * ALIGN;
        }
        let size = self.size_of(reference, shapes);
        // The collection was begun with room for all of the nursery.
        let to = self.old_top;
        self.old_top += size;
        self.note_start(to, size);
        self.copy(reference, to, size);
        self.set_word(reference, header::MOVED | (to / ALIGN));
        to
    }

    /// Promotes what the references within a range of an object's offsets refer to.
    fn scavenge_object(&mut self, object: u32, within: Range<u32>, shapes: &mut Shapes) {
        let head = self.word(object);
        let mut slots: smallvec::SmallVec<[u32; 16]> = Default::default();
        match shapes.get(head) {
            Shape::Fields(layout) => {
                slots.extend(layout.traced.iter().copied().filter(|slot| within.contains(slot)));
            }
            Shape::Array(layout) if layout.traced => {
                let end = (ELEMENTS + self.word(object + LENGTH) * 4).min(within.end);
                let start = within.start.max(ELEMENTS).next_multiple_of(4);
                for slot in (start..end).step_by(4) {
                    self.scavenge_slot(object + slot, shapes);
                }
                return;
            }
            Shape::Array(_) | Shape::Extern => return,
        }
        for slot in slots {
            self.scavenge_slot(object + slot, shapes);
        }
    }

    #[inline]
    fn scavenge_slot(&mut self, slot: u32, shapes: &mut Shapes) {
        let reference = self.word(slot);
        if is_young(reference) {
            let moved = self.promote(reference, shapes);
            self.set_word(slot, moved);
        }
    }

    /// Promotes what the roots and the dirty cards refer to, and all that this refers to. `roots` visits every
    /// root. The nursery is empty afterwards.
    pub(super) fn scavenge(
        &mut self,
        shapes: &mut Shapes,
        roots: impl FnOnce(&mut dyn FnMut(&mut u32)),
    ) -> Vec<u32> {
        let used = self.nursery_top() - belljar_abi::gc::NURSERY;
        let begin = self.old_top;
        // Before anything is promoted: what is promoted now is scanned whole.
        self.scavenge_cards(begin, shapes);
        roots(&mut |root| *root = self.promote(*root, shapes));
        let mut scanned = begin;
        while scanned < self.old_top {
            let size = self.size_of(scanned, shapes);
            self.scavenge_object(scanned, 0..size, shapes);
            scanned += size;
        }
        let dead = self.sweep_young_externs();
        self.reset_nursery();
        self.stats.minor_collections += 1;
        self.stats.allocated_bytes += u64::from(used);
        self.stats.promoted_bytes += u64::from(self.old_top - begin);
        dead
    }

    fn scavenge_cards(&mut self, end: u32, shapes: &mut Shapes) {
        let count = ((end - OLD).div_ceil(CARD_SIZE)) as usize;
        let mut card = 0;
        while card < count {
            let cards = self.cards();
            // Most are clean: eight at a time.
            let Some(ahead) = cards[card..count].iter().position(|c| *c != 0) else { return };
            card += ahead;
            cards[card] = 0;
            let from = OLD + card as u32 * CARD_SIZE;
            let to = (from + CARD_SIZE).min(end);
            let mut object = self.starts[card];
            while object < to {
                let size = self.size_of(object, shapes);
                let within = from.saturating_sub(object)..(to - object).min(size);
                self.scavenge_object(object, within, shapes);
                object += size;
            }
            card += 1;
        }
    }

    /// Follows the host values that moved; the indices of those that died.
    fn sweep_young_externs(&mut self) -> Vec<u32> {
        let mut dead = Vec::new();
        for object in std::mem::take(&mut self.young_externs) {
            let head = self.word(object);
            match head & header::MOVED {
                0 => dead.push(self.word(object + belljar_abi::gc::INDEX)),
                _ => self.old_externs.push((head & !header::MOVED) * ALIGN),
            }
        }
        dead
    }
}
