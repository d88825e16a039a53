//! The guest's descriptor numbers: lowest free number first, at most as many as the embedder allows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::descriptor::Descriptor;

/// A guest's open descriptors by number.
#[derive(Default)]
pub(crate) struct DescriptorTable {
    slots: Vec<Option<Arc<Descriptor>>>,
    free: BTreeSet<u32>,
    limit: usize,
    /// How many the host gave.
    given: usize,
    /// By which paths the guest opened those that it did.
    paths: BTreeMap<u32, Box<str>>,
}

impl DescriptorTable {
    /// A table of the host's own descriptors, which may then grow to `limit` numbers.
    pub(crate) fn new(preopens: Vec<Descriptor>, limit: usize) -> DescriptorTable {
        let slots: Vec<_> = preopens.into_iter().map(|descriptor| Some(Arc::new(descriptor))).collect();
        let (given, paths) = (slots.len(), BTreeMap::new());
        DescriptorTable { slots, free: BTreeSet::new(), limit: limit.min(1 << 31), given, paths }
    }

    /// Notes by which path a descriptor was opened.
    pub(crate) fn note_path(&mut self, fd: u32, path: &str) {
        self.paths.insert(fd, path.into());
    }

    /// How it differs from what the host gave, a phrase for each number.
    pub(crate) fn changes(&self) -> Vec<String> {
        let change =
            |(fd, slot): (usize, &Option<Arc<Descriptor>>)| match (slot, self.paths.get(&(fd as u32))) {
                (None, _) if fd < self.given => Some(format!("descriptor {fd} is closed")),
                (Some(_), Some(path)) => Some(format!("descriptor {fd} is the open file `{path}`")),
                (Some(_), None) if fd >= self.given => Some(format!("descriptor {fd} is open")),
                _ => None,
            };
        self.slots.iter().enumerate().filter_map(change).collect()
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
        self.paths.remove(&fd);
        Some(descriptor)
    }

    /// Moves `from` to the number `to`, both open, and gives what was there; `None` if one is not open.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Option<Arc<Descriptor>> {
        let (moved, old) = (self.get(from)?, self.get(to)?);
        if from != to {
            let path = self.paths.remove(&from);
            self.remove(from);
            self.slots[to as usize] = Some(moved);
            // What was given can be a file now.
            self.paths.remove(&to);
            self.paths.extend(path.map(|path| (to, path)));
        }
        Some(old)
    }
}
