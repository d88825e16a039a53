//! Bounds of what memories of an engine keep resident all together.

use crate::sys::machine_memory;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes by which all memories of an engine together may exceed what each may keep: an eighth of what the process may have.
fn most_beyond() -> usize {
    machine_memory() / 8
}

/// Bytes that all memories of an engine together keep on trial. Those that have proved to be written again and again do not count.
const MOST_ON_TRIAL: usize = 128 << 20;

/// What memories of an engine keep that there is a bound for of all together.
#[derive(Clone, Debug)]
pub(super) struct Accounts {
    /// Bytes kept beyond what is known to be written again and again.
    pub(super) trials: Arc<Account>,
    /// Bytes beyond what each may keep.
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
    /// Asked for when it is needed, as to find out takes files.
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

/// What one memory has of an account.
#[derive(Debug, Default)]
pub(super) struct Share {
    pub(super) bytes: usize,
    of: Option<Arc<Account>>,
}

impl Share {
    /// As many more of so many as there may be.
    pub(super) fn more(&mut self, wanted: usize, account: &Arc<Account>) -> usize {
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

    /// No more than this.
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
