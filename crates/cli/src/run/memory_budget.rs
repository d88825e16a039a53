//! `--max-memory`, or `--limits memory=…`: the budget of all memories of a run.

use crate::byte_size::ByteSize;
use belljar::{ByteCount, ResourceLimiter, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the memory that was granted, and records the first growth that was refused. Clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct MemoryBudget {
    limit: u64,
    /// The option that set the limit.
    option: Arc<str>,
    spent: Arc<Mutex<Spent>>,
}

#[derive(Debug, Default)]
struct Spent {
    granted: u64,
    refused: Option<Refusal>,
}

/// A growth that exceeded the limit.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    wanted: u64,
    had: u64,
}

impl MemoryBudget {
    /// Creates a budget. Without a limit, everything is granted.
    pub(crate) fn new(limit: Option<ByteSize>, option: String) -> Self {
        Self { limit: limit.map_or(u64::MAX, |l| l.0), option: option.into(), spent: Arc::default() }
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Describes the first refused growth.
    pub(crate) fn refusal(&self) -> Option<String> {
        let Refusal { wanted, had } = self.spent().refused?;
        let total = had.saturating_add(wanted);
        let [limit, total, had, wanted] = ByteCount::in_one_unit([self.limit, total, had, wanted]);
        Some(format!(
            "{} {limit} does not allow {total}: the guest had {had} and requested {wanted} more",
            self.option
        ))
    }
}

impl ResourceLimiter for MemoryBudget {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let wanted = desired.saturating_sub(current) as u64;
        let mut spent = self.spent();
        let had = spent.granted;
        let total = had.saturating_add(wanted);
        if total > self.limit {
            spent.refused.get_or_insert(Refusal { wanted, had });
            return Ok(false);
        }
        spent.granted = total;
        Ok(true)
    }

    fn gc_heap_growing(&mut self, current: usize, desired: usize) -> Result<bool> {
        self.memory_growing(current, desired, None)
    }

    fn table_growing(&mut self, _current: usize, _desired: usize, _maximum: Option<usize>) -> Result<bool> {
        Ok(true)
    }
}
