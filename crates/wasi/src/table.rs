//! The guest's descriptor numbers: lowest free number first, at most as many as the embedder allows.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::descriptor::Descriptor;

/// A guest's open descriptors by number.
#[derive(Default)]
pub(crate) struct DescriptorTable {
    slots: Vec<Option<Arc<Descriptor>>>,
    free: BTreeSet<u32>,
    limit: usize,
}

impl DescriptorTable {
    /// A table of the host's own descriptors, which may then grow to `limit` numbers.
    pub(crate) fn new(preopens: Vec<Descriptor>, limit: usize) -> DescriptorTable {
        let slots = preopens.into_iter().map(|descriptor| Some(Arc::new(descriptor))).collect();
        DescriptorTable { slots, free: BTreeSet::new(), limit: limit.min(1 << 31) }
    }

    pub(crate) fn get(&self, fd: u32) -> Option<Arc<Descriptor>> {
        self.slots.get(fd as usize)?.clone()
    }

    /// How many numbers there may be.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether there is a number for another descriptor.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty() || self.slots.len() < self.limit
    }

    /// Gives the descriptor the lowest free number, or `None` if the table is full.
    pub(crate) fn insert(&mut self, descriptor: Descriptor) -> Option<u32> {
        let descriptor = Some(Arc::new(descriptor));
        if let Some(fd) = self.free.pop_first() {
            self.slots[fd as usize] = descriptor;
            return Some(fd);
        }
        if self.slots.len() >= self.limit {
            return None;
        }
        self.slots.push(descriptor);
        Some(self.slots.len() as u32 - 1)
    }

    /// Frees the number. The descriptor itself closes when the last call that uses it ends.
    pub(crate) fn remove(&mut self, fd: u32) -> Option<Arc<Descriptor>> {
        let descriptor = self.slots.get_mut(fd as usize)?.take()?;
        self.free.insert(fd);
        Some(descriptor)
    }

    /// Moves `from` to the number `to`, both open, and gives what was there; `None` if one is not open.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Option<Arc<Descriptor>> {
        let (moved, old) = (self.get(from)?, self.get(to)?);
        if from != to {
            self.remove(from);
            self.slots[to as usize] = Some(moved);
        }
        Some(old)
    }
}
