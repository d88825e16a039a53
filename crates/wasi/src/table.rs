//! The guest's descriptor numbers: the lowest free number first, at most as many as the embedder allows.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::descriptor::Descriptor;
use crate::dir::Dir;

/// A guest's open descriptors by number.
#[derive(Default)]
pub(crate) struct DescriptorTable {
    slots: Vec<Option<Slot>>,
    free: BTreeSet<u32>,
    limit: usize,
    /// How many descriptors the host granted.
    given: u32,
    /// The directories among them, which the guest may close.
    preopens: Vec<(u32, Arc<Descriptor>)>,
}

/// An open descriptor and its origin.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) descriptor: Arc<Descriptor>,
    pub(crate) origin: Origin,
}

/// How a guest got a descriptor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// The host granted it under this number.
    Given(u32),
    /// The guest opened this path below a directory that the host granted under this number.
    Opened { preopen: u32, path: Box<str> },
    /// The guest accepted a connection.
    Accepted,
}

impl Origin {
    /// Returns the origin of something that is opened by a path below a directory of this origin.
    pub(crate) fn below(&self, path: &str) -> Origin {
        match self {
            Origin::Given(preopen) => Origin::Opened { preopen: *preopen, path: path.into() },
            Origin::Opened { preopen, path: parent } => {
                Origin::Opened { preopen: *preopen, path: format!("{parent}/{path}").into() }
            }
            Origin::Accepted => Origin::Accepted,
        }
    }
}

impl DescriptorTable {
    /// Creates a table of the host's own descriptors, which may grow to `limit` numbers.
    pub(crate) fn new(preopens: Vec<Descriptor>, limit: usize) -> DescriptorTable {
        let slots = preopens.into_iter().zip(0..);
        let slot =
            |(descriptor, fd)| Some(Slot { descriptor: Arc::new(descriptor), origin: Origin::Given(fd) });
        let slots: Vec<Option<Slot>> = slots.map(slot).collect();
        let given = slots.len() as u32;
        let preopen = |(slot, fd): (&Option<Slot>, u32)| {
            let descriptor = &slot.as_ref()?.descriptor;
            matches!(**descriptor, Descriptor::Dir(_)).then(|| (fd, descriptor.clone()))
        };
        let preopens = slots.iter().zip(0..).filter_map(preopen).collect();
        DescriptorTable { slots, free: BTreeSet::new(), limit: limit.min(1 << 31), given, preopens }
    }

    /// Returns another table with the same limit and these descriptors.
    pub(crate) fn with_slots(&self, slots: Vec<Option<Slot>>) -> DescriptorTable {
        let free = slots.iter().zip(0..).filter(|(slot, _)| slot.is_none()).map(|(_, fd)| fd).collect();
        DescriptorTable { slots, free, limit: self.limit, given: self.given, preopens: self.preopens.clone() }
    }

    /// Returns a directory that the host granted, by its original number.
    pub(crate) fn preopen(&self, number: u32) -> Option<&Dir> {
        let (_, descriptor) = self.preopens.iter().find(|(fd, _)| *fd == number)?;
        match &**descriptor {
            Descriptor::Dir(dir) => Some(dir),
            _ => None,
        }
    }

    /// Returns all slots by number, free numbers below the last included.
    pub(crate) fn slots(&self) -> &[Option<Slot>] {
        &self.slots
    }

    /// Returns how many descriptors the host granted.
    pub(crate) fn given(&self) -> u32 {
        self.given
    }

    pub(crate) fn get(&self, fd: u32) -> Option<Arc<Descriptor>> {
        Some(self.slot(fd)?.descriptor.clone())
    }

    /// Returns a descriptor and its origin.
    pub(crate) fn slot(&self, fd: u32) -> Option<&Slot> {
        self.slots.get(fd as usize)?.as_ref()
    }

    /// Returns how many numbers there may be.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Returns how many descriptors are open.
    pub(crate) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Returns the directories that the host granted.
    pub(crate) fn preopens(&self) -> impl Iterator<Item = &Arc<Descriptor>> {
        self.preopens.iter().map(|(_, descriptor)| descriptor)
    }

    /// Returns whether there is a number for another descriptor.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty() || self.slots.len() < self.limit
    }

    /// Gives the descriptor the lowest free number, or returns `None` if the table is full.
    pub(crate) fn insert(&mut self, descriptor: Descriptor, origin: Origin) -> Option<u32> {
        let slot = Some(Slot { descriptor: Arc::new(descriptor), origin });
        if let Some(fd) = self.free.pop_first() {
            self.slots[fd as usize] = slot;
            return Some(fd);
        }
        if self.slots.len() >= self.limit {
            return None;
        }
        self.slots.push(slot);
        Some(self.slots.len() as u32 - 1)
    }

    /// Frees the number. The descriptor itself closes when the last call that uses it ends.
    pub(crate) fn remove(&mut self, fd: u32) -> Option<Arc<Descriptor>> {
        let slot = self.slots.get_mut(fd as usize)?.take()?;
        self.free.insert(fd);
        Some(slot.descriptor)
    }

    /// Moves `from` to the number `to`, both open, and returns what was there; `None` if one is not open.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Option<Arc<Descriptor>> {
        let (moved, old) = (self.slot(from)?.clone(), self.get(to)?);
        if from != to {
            self.remove(from);
            self.slots[to as usize] = Some(moved);
        }
        Some(old)
    }
}
