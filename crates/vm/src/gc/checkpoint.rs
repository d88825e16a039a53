//! Checkpoints of the heap of objects, taken after a collection.

use super::spaces::OLD;
use super::{Gc, GcStats};
use crate::byte_scan::first_difference;
use crate::externs::Externs;
use crate::snapshot_bytes::{Reader, Writer};
use crate::store::StoreCore;
use belljar_abi::gc::{ALIGN, NURSERY, header};
use belljar_core::{Context, TypeId, ensure};

/// The contents of a heap with an empty nursery.
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
    /// Returns a checkpoint of the heap, after a full collection.
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

impl GcCheckpoint {
    /// Returns whether the checkpoint contains no host value.
    pub(crate) fn is_without_host_values(&self) -> bool {
        self.old_externs.is_empty() && self.externs.is_empty()
    }

    /// Returns the number of bytes that the limiter has granted.
    pub(crate) fn granted(&self) -> usize {
        self.granted as usize
    }

    /// Returns whether a heap is large enough for this checkpoint.
    pub(crate) fn fits(&self, gc: &Gc) -> bool {
        let end = u32::try_from(self.objects.len()).ok().and_then(|size| OLD.checked_add(size));
        end.is_some_and(|end| end <= gc.heap.old_end()) && self.old_limit <= gc.heap.old_end()
    }

    /// Returns a copy in which the headers of the objects at these offsets contain names of types, which `name`
    /// returns, instead of type ids.
    pub(crate) fn renamed(&self, objects: &[u32], name: impl Fn(TypeId) -> Option<usize>) -> Option<Self> {
        let mut bytes = self.objects.clone();
        for object in objects {
            let at = (object - OLD) as usize;
            let head = bytes.get_mut(at..at + 4)?.first_chunk_mut::<4>()?;
            let old = u32::from_le_bytes(*head);
            let ty = name(TypeId(old & header::TYPE))?;
            *head = ((old & !header::TYPE) | ty as u32).to_le_bytes();
        }
        let (starts, externs) = (self.starts.clone(), self.externs.clone());
        Some(Self { objects: bytes, starts, externs, old_externs: Vec::new(), ..*self })
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        to.number(self.old_limit.into());
        to.number(self.granted.into());
        to.bytes(&self.objects);
        to.words(&self.starts);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            old_limit: from.number()?.try_into().ok()?,
            granted: from.number()?.try_into().ok()?,
            objects: from.bytes()?.into(),
            starts: from.words()?,
            old_externs: Vec::new(),
            externs: Externs::default(),
            stats: GcStats::default(),
        })
    }
}

impl Gc {
    /// Returns the offsets of all objects, after a full collection.
    pub(crate) fn objects(&self) -> belljar_core::Result<Vec<u32>> {
        let mut objects = Vec::new();
        let mut at = OLD;
        while at < self.heap.old_top {
            objects.push(at);
            at = self.end_of(at).context("belljar bug: an object has no end")?;
        }
        Ok(objects)
    }

    /// Returns the end of an object, if it is a valid one.
    fn end_of(&self, object: u32) -> Option<u32> {
        let size = self.heap.size_of(object, self.shapes.get(self.heap.word(object)));
        let end = object.checked_add(size.next_multiple_of(ALIGN))?;
        (size > 0 && end <= self.heap.old_top).then_some(end)
    }

    /// Replaces the names in the headers of all objects by type ids. Returns `None` if an object is invalid.
    pub(crate) fn rename(&mut self, ty: impl Fn(usize) -> Option<TypeId>) -> Option<()> {
        self.shapes.prepare();
        let mut at = OLD;
        while at < self.heap.old_top {
            let head = self.heap.word(at);
            let ty = ty((head & header::TYPE) as usize)?;
            if head & header::EXTERN != 0 {
                return None;
            }
            self.heap.set_word(at, (head & !header::TYPE) | ty.0);
            at = self.end_of(at)?;
        }
        Some(())
    }

    /// Compares the heap with a checkpoint.
    ///
    /// # Errors
    ///
    /// Returns an error if they differ.
    pub(crate) fn verify(&self, was: &GcCheckpoint) -> belljar_core::Result<()> {
        let heap = &self.heap;
        let used = heap.old_top - OLD;
        ensure!(
            used as usize == was.objects.len(),
            "it has {used} bytes of objects, and had {}",
            was.objects.len()
        );
        if let Some(at) = first_difference(heap.bytes(OLD, used), &was.objects) {
            belljar_core::bail!("its objects differ from byte {at:#x} on");
        }
        ensure!(heap.nursery_top() == NURSERY, "there are young objects");
        ensure!(
            (&heap.starts, &heap.old_externs, heap.young_externs.len()) == (&was.starts, &was.old_externs, 0),
            "the records about its objects differ"
        );
        Ok(())
    }
}

impl StoreCore {
    /// Rewinds the heap to a checkpoint. Objects that guests created since then are gone, and their space is cleared.
    /// Returns the previous host values.
    pub(crate) fn rewind_gc(&mut self, to: &GcCheckpoint) -> Externs {
        if let Some(gc) = &mut self.heap.gc {
            let heap = &mut gc.heap;
            let used = heap.old_top.max(heap.old_reached);
            // Objects that a collection moved remain in their old place until something else is allocated there.
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
        }
        std::mem::replace(&mut self.entities.externs, to.externs.clone())
    }
}
