//! The limits of a store: a number for each resource, each under one name.
//!
//! In: the embedder's numbers. Out: permission, or an error that states which limit it was, what was wanted and how to
//! raise it. Never: a count of current usage, which the store itself computes.

use belljar_core::{ByteCount, Counted, define_limits};
use std::fmt;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

define_limits! {
    /// The resources that can be limited. Each has a method of the same name in `belljar::Limits`.
    pub enum Limit {
    Memory "memory" Bytes Some(256 << 20), "All linear memories of a store together";
    TableElements "table_elements" Count Some(1_000_000), "All table elements of a store together";
    GcHeap "gc_heap" Bytes Some(64 << 20), "Garbage-collected objects, including their nursery of 512 KiB";
    Stack "stack" Bytes Some(1 << 20), "Native stack for the guest's calls, up to the engine's own limit";
    Instances "instances" Count Some(64), "Instances in a store";
    Tables "tables" Count Some(64), "Tables in a store";
    Memories "memories" Count Some(16), "Memories in a store";
    Wall "wall" Time Some(30 * SECOND), "Time from the start of a call or session to its end";
    Cpu "cpu" Time Some(10 * SECOND), "CPU time of a call, or of all calls of a session";
    Fuel "fuel" Count None, "Approximate number of instructions of a call or session, if the engine counts fuel";
    Descriptors "descriptors" Count Some(64), "Open files, directories and sockets of WASI, including the three standard streams";
    BytesRead "bytes_read" Bytes Some(1 << 30), "Bytes that WASI functions read, from any source";
    BytesWritten "bytes_written" Bytes Some(128 << 20), "Bytes that WASI functions write, to any destination";
    Scratch "scratch" Bytes Some(16 << 20), "Memory that host functions borrow at the same time";
    Handles "handles" Count Some(100_000), "Handles of resources in all components of a store together";
    BytesLifted "bytes_lifted" Bytes Some(128 << 20), "Memory that the host takes for values of a component in one call";
    }
}

/// An optional number for each [`Limit`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quota {
    amounts: [Option<u64>; Limit::ALL.len()],
    /// Whether growth beyond a limit is an error that ends the guest's run, instead of −1.
    pub trap_on_grow_failure: bool,
}

impl Quota {
    /// No limits.
    pub const UNLIMITED: Self = Self { amounts: [None; Limit::ALL.len()], trap_on_grow_failure: false };

    /// Returns the limit of a resource; `None`: unlimited.
    pub fn get(&self, limit: Limit) -> Option<u64> {
        self.amounts[limit as usize]
    }

    /// Sets the limit of a resource.
    pub fn set(&mut self, limit: Limit, amount: Option<u64>) {
        self.amounts[limit as usize] = amount;
    }

    /// Returns a time limit.
    pub(crate) fn time(&self, limit: Limit) -> Option<Duration> {
        self.get(limit).map(Duration::from_nanos)
    }

    /// Returns the excess if `wanted` is more than the limit.
    pub(crate) fn exceeded(&self, limit: Limit, wanted: u64) -> Option<LimitExceeded> {
        let allowed = self.get(limit).filter(|allowed| wanted > *allowed)?;
        Some(LimitExceeded { limit, wanted: Some(wanted), allowed })
    }

    /// Returns the error of a resource that is used up, if it is limited.
    pub fn used_up(&self, limit: Limit) -> Option<LimitExceeded> {
        Some(LimitExceeded { limit, wanted: None, allowed: self.get(limit)? })
    }
}

/// More was wanted than a limit allows. The error of the failed operation contains this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitExceeded {
    limit: Limit,
    wanted: Option<u64>,
    allowed: u64,
}

impl LimitExceeded {
    /// Creates the error of a request for more than `allowed`; `wanted` is the amount, if known.
    pub fn new(limit: Limit, wanted: Option<u64>, allowed: u64) -> Self {
        Self { limit, wanted, allowed }
    }

    /// Returns the limit that was exceeded.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Returns the amount that was wanted in total, in [`Limit::unit`]s, if known.
    pub fn wanted(&self) -> Option<u64> {
        self.wanted
    }

    /// Returns the amount that is allowed, in [`Limit::unit`]s.
    pub fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Returns a sentence that describes what happened, but not how to raise the limit.
    pub fn sentence(&self) -> String {
        let Self { limit, wanted, allowed } = *self;
        let name = limit.name();
        match wanted {
            Some(wanted) => {
                let [wanted, allowed] = limit.unit().show_all([wanted, allowed]);
                format!("{name}: the guest wanted {wanted}, and its limit is {allowed}")
            }
            None => format!("{name}: the guest wanted more than its limit of {}", limit.show(allowed)),
        }
    }
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (Limits::{})", self.sentence(), self.limit.name())
    }
}

impl std::error::Error for LimitExceeded {}

/// The limits of all stores of an engine together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EngineQuota {
    /// Bytes of memories and objects.
    pub memory: Option<u64>,
    /// Stores whose guests run at the same time.
    pub calls: Option<u64>,
}

/// The engine limit that was exceeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EngineLimit {
    Memory,
    Calls,
}

/// More was wanted than an engine allows all its stores together. The error of the failed operation contains this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EngineLimitExceeded {
    pub(crate) limit: EngineLimit,
    pub(crate) wanted: u64,
    pub(crate) used: u64,
    pub(crate) stores: usize,
    pub(crate) allowed: u64,
}

impl EngineLimitExceeded {
    /// Returns the amount in use: bytes or calls.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Returns the number of stores that use it.
    pub fn stores(&self) -> usize {
        self.stores
    }

    /// Returns how much more was wanted.
    pub fn wanted(&self) -> u64 {
        self.wanted
    }

    /// Returns how much is allowed.
    pub fn allowed(&self) -> u64 {
        self.allowed
    }
}

impl fmt::Display for EngineLimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, wanted, used, stores, allowed } = *self;
        let stores = Counted::of(stores, "store");
        let [used, wanted, allowed_bytes] = ByteCount::in_one_unit([used, wanted, allowed]);
        match limit {
            EngineLimit::Memory => write!(
                f,
                "memory of the engine: {used} are used by {stores}, {wanted} more were wanted, and all together may have \
                 {allowed_bytes} (Config::max_memory)"
            ),
            EngineLimit::Calls => write!(
                f,
                "calls of the engine: guests of {stores} are running, and {allowed} may at once \
                 (Config::max_concurrent_calls)"
            ),
        }
    }
}

impl std::error::Error for EngineLimitExceeded {}

/// Growth that was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// By a limit of the store.
    Store(LimitExceeded),
    /// By a limit of its engine.
    Engine(EngineLimitExceeded),
}

impl Refusal {
    /// Converts the refusal to an error.
    pub fn into_error(self) -> belljar_core::Error {
        match self {
            Self::Store(exceeded) => exceeded.into(),
            Self::Engine(exceeded) => exceeded.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(exceeded) => exceeded.fmt(f),
            Self::Engine(exceeded) => exceeded.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_where_their_numbers_say() {
        for (i, limit) in Limit::ALL.iter().enumerate() {
            assert_eq!(*limit as usize, i);
        }
    }

    #[test]
    fn what_was_exceeded_is_told_with_numbers() {
        let mut quota = Quota::UNLIMITED;
        assert_eq!(quota.exceeded(Limit::Memory, u64::MAX), None);
        quota.set(Limit::Memory, Some(1 << 30));
        assert_eq!(quota.exceeded(Limit::Memory, 1 << 30), None);
        assert_eq!(
            quota.exceeded(Limit::Memory, 2 << 30).unwrap().to_string(),
            "memory: the guest wanted 2 GiB, and its limit is 1 GiB (Limits::memory)"
        );
        assert_eq!(
            quota.exceeded(Limit::Memory, (1 << 30) + (64 << 10)).unwrap().to_string(),
            "memory: the guest wanted 1048640 KiB, and its limit is 1048576 KiB (Limits::memory)"
        );
        quota.set(Limit::Wall, Some(250_000_000));
        assert_eq!(
            quota.used_up(Limit::Wall).unwrap().to_string(),
            "wall: the guest wanted more than its limit of 250ms (Limits::wall)"
        );
    }
}
