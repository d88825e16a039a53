//! What a checkpoint of a store, or a snapshot, keeps of components beside what the runtime does: handles, closed instances and
//! counts.

use super::handles::{Handles, Room};
use std::sync::Arc;

/// The state of a store's components at a checkpoint.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct ComponentsCheckpoint {
    pub(super) instances: Vec<InstanceCheckpoint>,
    pub(super) resource_types: usize,
    pub(super) room: Room,
    pub(super) call_count: u64,
}

#[derive(PartialEq, Eq, Debug)]
pub(super) struct InstanceCheckpoint {
    pub(super) inner: Vec<InnerCheckpoint>,
    pub(super) closed: Option<Arc<str>>,
}

#[derive(PartialEq, Eq, Debug)]
pub(super) struct InnerCheckpoint {
    pub(super) handles: Handles,
    pub(super) backpressure: u16,
}

impl ComponentsCheckpoint {
    /// Returns the state as numbers. No instance is closed.
    pub(super) fn to_words(&self) -> Vec<u64> {
        let Self { instances, resource_types, room, call_count } = self;
        let mut words = vec![*call_count, *resource_types as u64, room.used(), instances.len() as u64];
        for InstanceCheckpoint { inner, closed: _ } in instances {
            words.push(inner.len() as u64);
            for InnerCheckpoint { handles, backpressure } in inner {
                words.push(u64::from(*backpressure));
                handles.write(&mut words);
            }
        }
        words
    }

    /// Reads the numbers of [`ComponentsCheckpoint::to_words`]; `None` if they are others.
    pub(super) fn from_words(words: impl Iterator<Item = u64>) -> Option<Self> {
        let words = &mut words.into_iter();
        let call_count = words.next()?;
        let resource_types = usize::try_from(words.next()?).ok()?;
        let room = Room::of(words.next()?);
        let mut instances = Vec::new();
        for _ in 0..words.next()? {
            let mut inner = Vec::new();
            for _ in 0..words.next()? {
                let backpressure = u16::try_from(words.next()?).ok()?;
                inner.push(InnerCheckpoint { handles: Handles::read(words, resource_types)?, backpressure });
            }
            instances.push(InstanceCheckpoint { inner, closed: None });
        }
        Some(Self { instances, resource_types, room, call_count })
    }
}
