//! Limits on what the memories of an engine keep resident together.

use crate::sys::machine_memory;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Returns the number of bytes by which all memories of an engine together may exceed their individual limits: an
/// eighth of the memory that the process may use.
fn most_beyond() -> usize {
    machine_memory() / 8
}

/// The number of bytes that all memories of an engine together keep on trial. Bytes that have proved to be written
/// repeatedly do not count.
const MOST_ON_TRIAL: usize = 128 << 20;

/// The totals that are limited for all memories of an engine together.
#[derive(Clone, Debug)]
pub(super) struct Accounts {
    /// Bytes kept beyond those known to be written repeatedly.
    pub(super) trials: Arc<Account>,
    /// Bytes beyond the individual limits of the memories.
    pub(super) beyond: Arc<Account>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self { trials: Account::new(|| MOST_ON_TRIAL), beyond: Account::new(most_beyond) }
    }
}

#[derive(Debug)]
pub(super) struct Account {
    used: AtomicUsize,
    /// Computes the limit when it is first needed, since that reads files.
    most: fn() -> usize,
}

impl Account {
    pub(super) fn new(most: fn() -> usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), most })
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }
}

/// The part of an account that one memory uses.
#[derive(Debug, Default)]
pub(super) struct Share {
    pub(super) bytes: usize,
    of: Option<Arc<Account>>,
}

impl Share {
    /// Takes up to `wanted` more bytes. Returns how many were available.
    pub(super) fn claim(&mut self, wanted: usize, account: &Arc<Account>) -> usize {
        if wanted == 0 {
            return 0;
        }
        let before = account.used.fetch_add(wanted, Relaxed);
        let had = wanted.min((account.most)().saturating_sub(before));
        account.used.fetch_sub(wanted - had, Relaxed);
        self.bytes += had;
        self.of = Some(account.clone());
        had
    }

    /// Reduces the share to at most this many bytes.
    pub(super) fn at_most(&mut self, bytes: usize) {
        if let Some(account) = &self.of {
            account.used.fetch_sub(self.bytes.saturating_sub(bytes), Relaxed);
            self.bytes = self.bytes.min(bytes);
        }
    }

    pub(super) fn end(&mut self) {
        self.at_most(0);
        self.of = None;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.end();
    }
}
