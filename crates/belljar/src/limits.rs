//! A ready-made limiter.

use crate::Result;
pub use belljar_vm::ResourceLimiter;
use std::fmt;

/// Limits on what a store may hold. Put it into the store's data and name it with [`crate::Store::limiter`].
#[derive(Clone, Debug)]
pub struct StoreLimits {
    memory_size: Option<usize>,
    table_elements: Option<usize>,
    gc_heap_size: Option<usize>,
    instances: usize,
    tables: usize,
    memories: usize,
    trap_on_grow_failure: bool,
}

/// Instances, tables and memories, each, unless said otherwise.
const DEFAULT_COUNT: usize = 10_000;

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            memory_size: None,
            table_elements: None,
            gc_heap_size: None,
            instances: DEFAULT_COUNT,
            tables: DEFAULT_COUNT,
            memories: DEFAULT_COUNT,
            trap_on_grow_failure: false,
        }
    }
}

/// Growth that a limit forbids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct LimitExceeded {
    what: &'static str,
    unit: &'static str,
    desired: usize,
    limit: usize,
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, unit, desired, limit } = self;
        write!(f, "a {what} wanted to grow to {desired} {unit}, and the store's limit is {limit}")
    }
}

impl std::error::Error for LimitExceeded {}

impl StoreLimits {
    fn decide(&self, exceeded: LimitExceeded) -> Result<bool> {
        if exceeded.desired <= exceeded.limit {
            Ok(true)
        } else if self.trap_on_grow_failure {
            Err(exceeded.into())
        } else {
            Ok(false)
        }
    }
}

impl ResourceLimiter for StoreLimits {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let limit = self.memory_size.unwrap_or(usize::MAX);
        self.decide(LimitExceeded { what: "memory", unit: "bytes", desired, limit })
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let limit = self.table_elements.unwrap_or(usize::MAX);
        self.decide(LimitExceeded { what: "table", unit: "elements", desired, limit })
    }

    fn gc_heap_growing(&mut self, _current: usize, desired: usize) -> Result<bool> {
        let limit = self.gc_heap_size.unwrap_or(usize::MAX);
        self.decide(LimitExceeded { what: "garbage-collected heap", unit: "bytes", desired, limit })
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        self.memories
    }
}

/// Builds [`StoreLimits`].
#[derive(Clone, Debug, Default)]
pub struct StoreLimitsBuilder(StoreLimits);

impl StoreLimitsBuilder {
    /// Nothing limited but counts, 10,000 each.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that each memory may have.
    pub fn memory_size(mut self, bytes: usize) -> Self {
        self.0.memory_size = Some(bytes);
        self
    }

    /// Elements that each table may have.
    pub fn table_elements(mut self, elements: usize) -> Self {
        self.0.table_elements = Some(elements);
        self
    }

    /// Bytes that the garbage-collected heap may have. Its nursery, 512 KiB, is beside that.
    pub fn gc_heap_size(mut self, bytes: usize) -> Self {
        self.0.gc_heap_size = Some(bytes);
        self
    }

    /// Instances in the store.
    pub fn instances(mut self, count: usize) -> Self {
        self.0.instances = count;
        self
    }

    /// Tables in the store.
    pub fn tables(mut self, count: usize) -> Self {
        self.0.tables = count;
        self
    }

    /// Memories in the store.
    pub fn memories(mut self, count: usize) -> Self {
        self.0.memories = count;
        self
    }

    /// Whether growth beyond a limit ends the guest's run with an error that states the numbers, instead of
    /// being refused with −1.
    pub fn trap_on_grow_failure(mut self, trap: bool) -> Self {
        self.0.trap_on_grow_failure = trap;
        self
    }

    /// The limits.
    pub fn build(self) -> StoreLimits {
        self.0
    }
}
