//! The guest's descriptor numbers: lowest free number first, at most as many as the embedder allows.

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
    /// How many the host gave.
    given: u32,
    /// The directories among them, which the guest may close.
    preopens: Vec<(u32, Arc<Descriptor>)>,
}

/// An open descriptor, and how the guest came by it.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) descriptor: Arc<Descriptor>,
    pub(crate) origin: Origin,
}

/// How a guest came by a descriptor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// The host gave it this number.
    Given(u32),
    /// It opened this path below a directory that the host gave this number.
    Opened { preopen: u32, path: Box<str> },
    /// It accepted a connection.
    Accepted,
}

impl Origin {
    /// Of what is opened by a path below a directory of this origin.
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
    /// A table of the host's own descriptors, which may then grow to `limit` numbers.
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

    /// Another table with the same limit and these descriptors.
    pub(crate) fn with_slots(&self, slots: Vec<Option<Slot>>) -> DescriptorTable {
        let free = slots.iter().zip(0..).filter(|(slot, _)| slot.is_none()).map(|(_, fd)| fd).collect();
        DescriptorTable { slots, free, limit: self.limit, given: self.given, preopens: self.preopens.clone() }
    }

    /// A directory that the host gave, by its number then.
    pub(crate) fn preopen(&self, number: u32) -> Option<&Dir> {
        let (_, descriptor) = self.preopens.iter().find(|(fd, _)| *fd == number)?;
        match &**descriptor {
            Descriptor::Dir(dir) => Some(dir),
            _ => None,
        }
    }

    /// All of them by number, and the numbers below the last that are free.
    pub(crate) fn slots(&self) -> &[Option<Slot>] {
        &self.slots
    }

    /// How many descriptors the host gave.
    pub(crate) fn given(&self) -> u32 {
        self.given
    }

    pub(crate) fn get(&self, fd: u32) -> Option<Arc<Descriptor>> {
        Some(self.slot(fd)?.descriptor.clone())
    }

    /// A descriptor, and how the guest came by it.
    pub(crate) fn slot(&self, fd: u32) -> Option<&Slot> {
        self.slots.get(fd as usize)?.as_ref()
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

    /// Moves `from` to the number `to`, both open, and gives what was there; `None` if one is not open.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Option<Arc<Descriptor>> {
        let (moved, old) = (self.slot(from)?.clone(), self.get(to)?);
        if from != to {
            self.remove(from);
            self.slots[to as usize] = Some(moved);
        }
        Some(old)
    }
}
