//! What guests may have: [`Limits`], which a store keeps itself, and a ready-made limiter.

use crate::Result;
pub use belljar_core::LimitUnit;
pub use belljar_vm::{EngineLimitExceeded, Limit, LimitExceeded, ResourceLimiter};
use belljar_vm::{Quota, Usage};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a guest may have: of a store with [`Store::set_limits`](crate::Store::set_limits), of the calls of a sandbox with
/// [`SandboxTemplate::limits`](crate::SandboxTemplate::limits), of WASI with `WasiCtxBuilder::limits`.
///
/// [`Limits::default`] is for code that nobody vouches for, and limits everything but fuel; [`Limits::unlimited`] nothing.
/// What it is by default is said at each method, and in [`Limit::default_amount`].
///
/// Growth beyond a limit is refused as the specification says: `memory.grow` and `table.grow` give −1, and
/// [`Store::refused_growth`](crate::Store::refused_growth) tells the host why. Everything else that a limit forbids is an error that holds
/// a [`LimitExceeded`].
///
/// ```
/// use belljar::{Engine, Instance, LimitExceeded, Limits, Module, Store};
/// use std::time::Duration;
///
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (memory (export "m") 32) (func (export "spin") (loop (br 0))))"#)?;
/// let mut store = Store::new(&engine, ());
/// store.set_limits(Limits::default().memory(1 << 20).wall(Duration::from_millis(20)))?;
/// let error = Instance::new(&mut store, &module, &[]).unwrap_err();
/// assert_eq!(error.to_string(), "memory: the guest wanted 2 MiB, and its limit is 1 MiB (Limits::memory)");
///
/// store.set_limits(store.limits().memory(2 << 20))?;
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let error = instance.get_typed_func::<(), ()>(&mut store, "spin")?.call(&mut store, ()).unwrap_err();
/// let exceeded = error.downcast_ref::<LimitExceeded>().unwrap();
/// assert_eq!(exceeded.to_string(), "wall: the guest wanted more than its limit of 20ms (Limits::wall)");
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Limits(pub(crate) Quota);

impl Default for Limits {
    /// For code that nobody vouches for.
    fn default() -> Self {
        let mut quota = Quota::UNLIMITED;
        for limit in Limit::ALL {
            quota.set(*limit, limit.default_amount());
        }
        Self(quota)
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Limits");
        for limit in Limit::ALL {
            if let Some(amount) = self.get(*limit) {
                all.field(limit.name(), &format_args!("{}", limit.show(amount)));
            }
        }
        all.field("trap_on_grow_failure", &self.0.trap_on_grow_failure).finish()
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($amount:ident: $ty:ident) $limit:ident = $default:literal;)*) => {
        impl Limits {
            $(
                $(#[$doc])*
                #[doc = ""]
                #[doc = concat!("Default: ", $default, ".")]
                #[must_use]
                pub fn $name(self, $amount: $ty) -> Self {
                    self.with(Limit::$limit, Some(amount!($ty, $amount)))
                }
            )*
        }

        #[cfg(test)]
        const DEFAULTS: &[(Limit, &str)] = &[$((Limit::$limit, $default),)*];
    };
}

macro_rules! amount {
    (Duration, $time:ident) => {
        u64::try_from($time.as_nanos()).unwrap_or(u64::MAX)
    };
    (u64, $amount:ident) => {
        $amount
    };
}

setters! {
    /// Bytes of all memories of the store together, those that it shares with others included.
    memory(bytes: u64) Memory = "256 MiB";
    /// Elements of all tables of the store together.
    table_elements(count: u64) TableElements = "1000000";
    /// Bytes of the garbage-collected heap, with its nursery of 512 KiB. If what is alive is more, the guest traps with
    /// [`Trap::GcHeapExhausted`](crate::Trap::GcHeapExhausted).
    gc_heap(bytes: u64) GcHeap = "64 MiB";
    /// Bytes of native stack for the guest's calls; more is [`Trap::StackOverflow`](crate::Trap::StackOverflow). There is never more
    /// than [`Config::max_wasm_stack`](crate::Config::max_wasm_stack).
    stack(bytes: u64) Stack = "1 MiB";
    /// Instances in the store.
    instances(count: u64) Instances = "16";
    /// Tables in the store.
    tables(count: u64) Tables = "64";
    /// Memories in the store.
    memories(count: u64) Memories = "16";
    /// Time from the beginning of a call to its end: then it is killed wherever it is, as [`KillHandle::kill`](crate::KillHandle::kill)
    /// does, with [`KillReason::WallTime`](crate::KillReason::WallTime). Calls are those of the host, and instantiations; calls within
    /// them are part of them;
    /// of a sandbox's session all calls together, and the time between them, are meant. Code does nothing for it.
    wall(time: Duration) Wall = "30s";
    /// CPU time that a call, or the calls of a sandbox's session together, may use. As [`Limits::wall`]; a guest that waits uses none.
    cpu(time: Duration) Cpu = "10s";
    /// Instructions, about, that a call, or the calls of a sandbox's session together, may execute: then the guest traps with
    /// [`Trap::OutOfFuel`](crate::Trap::OutOfFuel). Only for engines with [`Config::consume_fuel`](crate::Config::consume_fuel).
    fuel(units: u64) Fuel = "no limit";
    /// Open files, directories and sockets of WASI, the three standard streams included. More is `EMFILE` for the guest.
    descriptors(count: u64) Descriptors = "64";
    /// Bytes that WASI functions read. More is `EIO` for the guest.
    bytes_read(bytes: u64) BytesRead = "1 GiB";
    /// Bytes that WASI functions write, to standard output as well. More is `EDQUOT` for the guest.
    bytes_written(bytes: u64) BytesWritten = "128 MiB";
    /// Bytes that host functions borrow at once with [`Caller::with_scratch`](crate::Caller::with_scratch).
    scratch(bytes: u64) Scratch = "16 MiB";
}

impl Limits {
    /// Nothing is limited: to be used where the code is one's own, or to limit a few things.
    pub fn unlimited() -> Self {
        Self(Quota::UNLIMITED)
    }

    /// Whether growth beyond a limit ends the guest's run with an error that holds a [`LimitExceeded`], instead of being refused
    /// with −1. Default: no.
    #[must_use]
    pub fn trap_on_grow_failure(mut self, trap: bool) -> Self {
        self.0.trap_on_grow_failure = trap;
        self
    }

    /// How much of something there may be, in its [`Limit::unit`]; `None`: any.
    pub fn get(&self, limit: Limit) -> Option<u64> {
        self.0.get(limit)
    }

    /// Says how much of something there may be, in its [`Limit::unit`]; `None`: any.
    ///
    /// ```
    /// use belljar::{Limit, Limits};
    /// let limits = Limits::default().with(Limit::Wall, None);
    /// assert_eq!(limits.get(Limit::Wall), None);
    /// assert_eq!(limits.get(Limit::Instances), Some(16));
    /// ```
    #[must_use]
    pub fn with(mut self, limit: Limit, amount: Option<u64>) -> Self {
        self.0.set(limit, amount);
        self
    }
}

/// The stores that one guest runs in, such as those of its threads: their limits are those of all of them together. Cheap to clone.
///
/// Counted together are table elements, bytes of the garbage-collected heap, instances, tables, and memories that are not shared.
/// [`Limits::memory`] stays each store's own: what threads share is the same bytes in all of them, and is limited where it is made.
///
/// ```
/// use belljar::{Engine, Limit, LimitGroup, Limits, Ref, RefType, Store, Table, TableType};
/// let engine = Engine::default();
/// let guest = LimitGroup::new();
/// let mut stores = [0, 1].map(|_| {
///     let mut store = Store::new(&engine, ());
///     store.set_limits(Limits::unlimited().table_elements(100)).unwrap();
///     store.set_limit_group(&guest);
///     store
/// });
/// let ty = TableType::new(RefType::FUNCREF, 60, None);
/// Table::new(&mut stores[0], ty, Ref::Func(None))?;
/// let error = Table::new(&mut stores[1], ty, Ref::Func(None)).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "table_elements: the guest wanted 120, and its limit is 100 (Limits::table_elements)"
/// );
/// assert_eq!(guest.used(Limit::TableElements), Some(60));
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct LimitGroup(pub(crate) Arc<belljar_vm::LimitGroup>);

impl LimitGroup {
    /// Of no stores yet: see [`Store::set_limit_group`](crate::Store::set_limit_group).
    pub fn new() -> Self {
        Self::default()
    }

    /// What its stores use together now, in the limit's [`Limit::unit`]; `None` of what is limited for each store alone.
    pub fn used(&self, limit: Limit) -> Option<u64> {
        self.0.used(limit)
    }
}

/// What a store uses now of what can be limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ResourceUsage {
    /// Bytes of all its memories, those that it shares with others included.
    pub memory: u64,
    /// Elements of all its tables.
    pub table_elements: u64,
    /// Bytes of its garbage-collected heap: what has lived through a collection, and the nursery.
    pub gc_heap: u64,
    /// Instances.
    pub instances: u64,
    /// Tables.
    pub tables: u64,
    /// Memories.
    pub memories: u64,
}

impl From<Usage> for ResourceUsage {
    fn from(usage: Usage) -> Self {
        let Usage { memory, table_elements, gc_heap, instances, tables, memories } = usage;
        Self { memory, table_elements, gc_heap, instances, tables, memories }
    }
}

/// Limits on what a store may hold. Put it into the store's data and name it with [`crate::Store::limiter`]. It is for those who
/// come from Wasmtime: [`Limits`] has more, and needs no place in the data.
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
struct TooMuch {
    what: &'static str,
    unit: &'static str,
    desired: usize,
    limit: usize,
}

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, unit, desired, limit } = self;
        write!(f, "a {what} wanted to grow to {desired} {unit}, and the store's limit is {limit}")
    }
}

impl std::error::Error for TooMuch {}

impl StoreLimits {
    fn decide(&self, exceeded: TooMuch) -> Result<bool> {
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
        self.decide(TooMuch { what: "memory", unit: "bytes", desired, limit })
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let limit = self.table_elements.unwrap_or(usize::MAX);
        self.decide(TooMuch { what: "table", unit: "elements", desired, limit })
    }

    fn gc_heap_growing(&mut self, _current: usize, desired: usize) -> Result<bool> {
        let limit = self.gc_heap_size.unwrap_or(usize::MAX);
        self.decide(TooMuch { what: "garbage-collected heap", unit: "bytes", desired, limit })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_a_setter_that_says_its_default() {
        assert_eq!(DEFAULTS.len(), Limit::ALL.len());
        for ((limit, said), all) in DEFAULTS.iter().zip(Limit::ALL) {
            assert_eq!(limit, all);
            let default =
                Limits::default().get(*limit).map_or("no limit".into(), |amount| limit.show(amount));
            assert_eq!(default, *said, "{limit:?}");
        }
    }
}
