//! Clean reservations of an engine, kept for other memories.

use super::accounts::Accounts;
use super::image::MemoryImage;
use super::settings::MemorySettings;
use super::slot::Slot;
use std::sync::{Arc, Mutex};

/// Clean reservations. They are kept because making one costs more than the rest of an instantiation.
#[derive(Debug, Default)]
pub(crate) struct MemoryPool {
    slots: Mutex<Vec<Slot>>,
    pub(super) accounts: Accounts,
    pub(super) settings: MemorySettings,
}

/// The largest number of reservations that a pool keeps.
const POOL_SLOTS: usize = 64;

impl MemoryPool {
    /// Creates an empty pool of an engine with these settings.
    pub(crate) fn new(settings: MemorySettings) -> Arc<Self> {
        Arc::new(Self { settings, ..Self::default() })
    }

    /// Creates a pool with another limit than the machine's memory implies.
    #[cfg(test)]
    pub(super) fn with_beyond(most: fn() -> usize) -> Self {
        let beyond = super::accounts::Account::new(most);
        Self { accounts: Accounts { beyond, ..Accounts::default() }, ..Self::default() }
    }

    /// Returns the number of bytes that are kept beyond [`MOST_KEPT`].
    #[cfg(test)]
    pub(super) fn kept_beyond(&self) -> usize {
        self.accounts.beyond.used()
    }

    /// Takes a clean reservation, preferably one that has this image mapped.
    pub(super) fn take(&self, image: Option<&Arc<MemoryImage>>) -> Option<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(|e| e.into_inner());
        let same = |s: &Slot| match (&s.image, image) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let at = slots.iter().rposition(same).or_else(|| slots.len().checked_sub(1))?;
        Some(slots.swap_remove(at))
    }

    pub(super) fn give(&self, slot: Slot) {
        let mut slots = self.slots.lock().unwrap_or_else(|e| e.into_inner());
        // Modules and checkpoints may have been dropped since their slots were returned.
        slots.retain_mut(|slot| slot.forget_own_image().is_ok());
        if slots.len() < POOL_SLOTS {
            slots.push(slot);
        }
    }
}
