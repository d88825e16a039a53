//! Limits of guests: [`Limits`], which the runtime enforces itself, and [`StoreLimits`], a ready-made limiter.

use crate::Result;
pub use belljar_core::LimitUnit;
pub use belljar_vm::{EngineLimitExceeded, Limit, LimitExceeded, ResourceLimiter};
use belljar_vm::{Quota, Usage};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Limits of a guest: of a store with [`Store::set_limits`](crate::Store::set_limits), of the calls of a sandbox with
/// [`SandboxTemplate::limits`](crate::SandboxTemplate::limits), of WASI with `WasiCtxBuilder::limits`.
///
/// [`Limits::default`] is for untrusted code, and limits everything but fuel. [`Limits::unlimited`] limits nothing.
/// Each method states its default, and [`Limit::default_amount`] returns it.
///
/// Growth beyond a limit is refused as the specification says: `memory.grow` and `table.grow` return −1, and
/// [`Store::refused_growth`](crate::Store::refused_growth) tells the host why. Anything else that a limit forbids is an
/// error that holds a [`LimitExceeded`].
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
    /// Returns the limits for untrusted code.
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
    /// Limits the bytes of all memories of the store together, shared memories included.
    memory(bytes: u64) Memory = "256 MiB";
    /// Limits the elements of all tables of the store together.
    table_elements(count: u64) TableElements = "1000000";
    /// Limits the bytes of the garbage-collected heap, including its nursery of 512 KiB. If the live objects need more,
    /// the guest traps with [`Trap::GcHeapExhausted`](crate::Trap::GcHeapExhausted).
    gc_heap(bytes: u64) GcHeap = "64 MiB";
    /// Limits the bytes of native stack for the guest's calls. A guest that needs more traps with
    /// [`Trap::StackOverflow`](crate::Trap::StackOverflow). [`Config::max_wasm_stack`](crate::Config::max_wasm_stack)
    /// is an upper bound.
    stack(bytes: u64) Stack = "1 MiB";
    /// Limits the number of instances of modules in the store. A component has several: one for each of its core modules, and for
    /// the adapters between its parts.
    instances(count: u64) Instances = "64";
    /// Limits the number of tables in the store.
    tables(count: u64) Tables = "64";
    /// Limits the number of memories in the store.
    memories(count: u64) Memories = "16";
    /// Limits the time from the start of a call to its end. A call that takes longer is killed, as by
    /// [`KillHandle::kill`](crate::KillHandle::kill), with [`KillReason::WallTime`](crate::KillReason::WallTime),
    /// whatever it is doing. A call is a call by the host or an instantiation; nested calls are part of it. In a
    /// sandbox, the limit is for all calls of a session together, and the time between them. Guest code does nothing
    /// for it.
    wall(time: Duration) Wall = "30s";
    /// Limits the CPU time of a call, or of all calls of a sandbox session together. Otherwise like [`Limits::wall`]. A
    /// guest that waits uses no CPU time.
    cpu(time: Duration) Cpu = "10s";
    /// Limits the approximate number of instructions of a call, or of all calls of a sandbox session together. A guest
    /// that executes more traps with [`Trap::OutOfFuel`](crate::Trap::OutOfFuel). Requires an engine with
    /// [`Config::consume_fuel`](crate::Config::consume_fuel).
    fuel(units: u64) Fuel = "no limit";
    /// Limits the open files, directories and sockets of WASI, including the three standard streams. Beyond the limit,
    /// the guest gets `EMFILE`.
    descriptors(count: u64) Descriptors = "64";
    /// Limits the bytes that WASI functions read. Beyond the limit, the guest gets `EIO`.
    bytes_read(bytes: u64) BytesRead = "1 GiB";
    /// Limits the bytes that WASI functions write, including to standard output. Beyond the limit, the guest gets
    /// `EDQUOT`.
    bytes_written(bytes: u64) BytesWritten = "128 MiB";
    /// Limits the bytes that host functions borrow at once with [`Caller::with_scratch`](crate::Caller::with_scratch).
    scratch(bytes: u64) Scratch = "16 MiB";
    /// Limits the handles of resources that all components of the store have together, with those that the host holds of them.
    /// Each takes about 50 bytes of the host's memory.
    handles(count: u64) Handles = "100000";
    /// Limits the memory that the host takes in one call for values that a component passes to it: texts, lists and what they
    /// contain. Without a limit it is 1 GiB.
    bytes_lifted(bytes: u64) BytesLifted = "128 MiB";
}

impl Limits {
    /// Returns limits that limit nothing: for trusted code, or to set only a few limits.
    pub fn unlimited() -> Self {
        Self(Quota::UNLIMITED)
    }

    /// Sets whether growth beyond a limit ends the guest's run with an error that holds a [`LimitExceeded`], instead of
    /// returning −1 to the guest. Default: no.
    #[must_use]
    pub fn trap_on_grow_failure(mut self, trap: bool) -> Self {
        self.0.trap_on_grow_failure = trap;
        self
    }

    /// Returns a limit, in its [`Limit::unit`], or `None` if it is not set.
    pub fn get(&self, limit: Limit) -> Option<u64> {
        self.0.get(limit)
    }

    /// Sets a limit, in its [`Limit::unit`]. `None` removes it.
    ///
    /// ```
    /// use belljar::{Limit, Limits};
    /// let limits = Limits::default().with(Limit::Wall, None);
    /// assert_eq!(limits.get(Limit::Wall), None);
    /// assert_eq!(limits.get(Limit::Instances), Some(64));
    /// ```
    #[must_use]
    pub fn with(mut self, limit: Limit, amount: Option<u64>) -> Self {
        self.0.set(limit, amount);
        self
    }
}

/// A group of stores that share their limits, such as the stores of one guest's threads. It is cheap to clone.
///
/// The limits of table elements, bytes of the garbage-collected heap, instances, tables, and memories that are not
/// shared apply to all stores of the group together. [`Limits::memory`] stays a limit of each store: a shared memory is
/// the same bytes in all stores, and is limited where it is created.
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
/// Table::new(&mut stores[0], ty.clone(), Ref::Func(None))?;
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
    /// Creates a group without stores: see [`Store::set_limit_group`](crate::Store::set_limit_group).
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns what the group's stores use now together, in the limit's [`Limit::unit`], or `None` if the limit applies
    /// to each store separately.
    pub fn used(&self, limit: Limit) -> Option<u64> {
        self.0.used(limit)
    }
}

/// A store's current usage of the resources that can be limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ResourceUsage {
    /// Bytes of all memories, shared memories included.
    pub memory: u64,
    /// Elements of all tables.
    pub table_elements: u64,
    /// Bytes of the garbage-collected heap: objects that survived a collection, and the nursery.
    pub gc_heap: u64,
    /// Number of instances.
    pub instances: u64,
    /// Number of tables.
    pub tables: u64,
    /// Number of memories.
    pub memories: u64,
}

impl From<Usage> for ResourceUsage {
    fn from(usage: Usage) -> Self {
        let Usage { memory, table_elements, gc_heap, instances, tables, memories } = usage;
        Self { memory, table_elements, gc_heap, instances, tables, memories }
    }
}

/// A limiter with fixed limits for a store. Put it into the store's data and select it with [`crate::Store::limiter`].
/// It eases migration from Wasmtime: [`Limits`] offers more, and needs no place in the data.
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

/// How many instances a store has at most by default ([`ResourceLimiter::instances`]).
pub const DEFAULT_INSTANCE_LIMIT: usize = 10_000;
/// How many tables a store has at most by default ([`ResourceLimiter::tables`]).
pub const DEFAULT_TABLE_LIMIT: usize = 10_000;
/// How many memories a store has at most by default ([`ResourceLimiter::memories`]).
pub const DEFAULT_MEMORY_LIMIT: usize = 10_000;

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            memory_size: None,
            table_elements: None,
            gc_heap_size: None,
            instances: DEFAULT_INSTANCE_LIMIT,
            tables: DEFAULT_TABLE_LIMIT,
            memories: DEFAULT_MEMORY_LIMIT,
            trap_on_grow_failure: false,
        }
    }
}

/// A growth that a limit forbids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct ExceededLimit {
    what: &'static str,
    unit: LimitUnit,
    desired: usize,
    limit: usize,
}

impl fmt::Display for ExceededLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, unit, desired, limit } = *self;
        let [desired, limit] = unit.show_all([desired, limit].map(|amount| amount as u64));
        let elements = if unit == LimitUnit::Count { " elements" } else { "" };
        write!(f, "a {what} wanted to grow to {desired}{elements}, but the store's limit is {limit}")
    }
}

impl std::error::Error for ExceededLimit {}

impl StoreLimits {
    fn decide(&self, exceeded: ExceededLimit) -> Result<bool> {
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
        self.decide(ExceededLimit { what: "memory", unit: LimitUnit::Bytes, desired, limit })
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let limit = self.table_elements.unwrap_or(usize::MAX);
        self.decide(ExceededLimit { what: "table", unit: LimitUnit::Count, desired, limit })
    }

    fn gc_heap_growing(&mut self, _current: usize, desired: usize) -> Result<bool> {
        let limit = self.gc_heap_size.unwrap_or(usize::MAX);
        self.decide(ExceededLimit { what: "garbage-collected heap", unit: LimitUnit::Bytes, desired, limit })
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

/// A builder of [`StoreLimits`].
#[derive(Clone, Debug, Default)]
pub struct StoreLimitsBuilder(StoreLimits);

impl StoreLimitsBuilder {
    /// Creates a builder that limits nothing but instances, tables and memories, to 10,000 each.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the bytes of each memory.
    pub fn memory_size(mut self, bytes: usize) -> Self {
        self.0.memory_size = Some(bytes);
        self
    }

    /// Limits the elements of each table.
    pub fn table_elements(mut self, elements: usize) -> Self {
        self.0.table_elements = Some(elements);
        self
    }

    /// Limits the bytes of the garbage-collected heap, without its nursery of 512 KiB.
    pub fn gc_heap_size(mut self, bytes: usize) -> Self {
        self.0.gc_heap_size = Some(bytes);
        self
    }

    /// Limits the number of instances in the store.
    pub fn instances(mut self, count: usize) -> Self {
        self.0.instances = count;
        self
    }

    /// Limits the number of tables in the store.
    pub fn tables(mut self, count: usize) -> Self {
        self.0.tables = count;
        self
    }

    /// Limits the number of memories in the store.
    pub fn memories(mut self, count: usize) -> Self {
        self.0.memories = count;
        self
    }

    /// Sets whether growth beyond a limit ends the guest's run with an error that states the numbers, instead of
    /// returning −1 to the guest.
    pub fn trap_on_grow_failure(mut self, trap: bool) -> Self {
        self.0.trap_on_grow_failure = trap;
        self
    }

    /// Returns the limits.
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
