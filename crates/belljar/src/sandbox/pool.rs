//! Pools of sandboxes, which many threads use at once.

use super::Session;
use super::guest::SandboxGuest;
use super::instance_factory::InstanceFactory;
use super::instance_pool::{Capacity, Expiry, InstancePool};
use super::statistics::PoolStatistics;
use crate::Result;
use crate::instantiate::InstancePre;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How many sandboxes a [`SandboxPool`] may have, and what happens when all are in use.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    most: usize,
    least: usize,
    burst: Burst,
    idle_timeout: Duration,
}

/// What happens to a call that needs a sandbox when all are in use and the pool has reached its maximum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Burst {
    /// The call waits for at most this time, and then fails.
    Wait(Duration),
    /// The call fails immediately.
    Refuse,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            most: 1000,
            least: 0,
            burst: Burst::Wait(Duration::from_secs(10)),
            idle_timeout: Duration::from_secs(10),
        }
    }
}

impl PoolConfig {
    /// Creates the default configuration: at most 1000 sandboxes, none created in advance; calls wait for up to 10
    /// seconds when all are in use; sandboxes that were not needed for 10 seconds are dropped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many sandboxes may be in use at once, at least 1. Each takes its dirty pages, about 50 KB, and a few
    /// mappings of the process.
    pub fn max_sandboxes(mut self, most: usize) -> Self {
        self.most = most.max(1);
        self
    }

    /// Sets how many sandboxes are created in advance and kept.
    pub fn min_sandboxes(mut self, least: usize) -> Self {
        self.least = least;
        self
    }

    /// Sets what happens when all sandboxes are in use.
    pub fn on_burst(mut self, burst: Burst) -> Self {
        self.burst = burst;
        self
    }

    /// Sets how long idle sandboxes are kept. The pool checks this when sandboxes are returned to it; call
    /// [`SandboxPool::shrink`] when it is otherwise unused.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.idle_timeout = time;
        self
    }
}

/// All sandboxes of a pool are in use. It is held by an [`Error`](crate::Error) of [`SandboxPool::call`] and
/// [`SandboxPool::session`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolExhausted {
    most: usize,
    burst: Burst,
}

impl fmt::Display for PoolExhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { most, burst } = self;
        match most {
            1 => f.write_str("the only sandbox of the pool is in use")?,
            most => write!(f, "all {most} sandboxes of the pool are in use")?,
        }
        if let Burst::Wait(time) = burst {
            write!(f, ", and none was returned within {time:?}")?;
        }
        f.write_str(" (PoolConfig::max_sandboxes, PoolConfig::on_burst)")
    }
}

impl std::error::Error for PoolExhausted {}

/// A pool of sandboxes for many threads at once. Each call gets a sandbox that was reset.
///
/// ```
/// use belljar::{Engine, Linker, Module, PoolConfig, SandboxTemplate};
///
/// let engine = Engine::default();
/// let wat = r#"(module (global $n (mut i32) (i32.const 0)) (func (export "count") (result i32)
///     (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#;
/// let pre = Linker::<()>::new(&engine).instantiate_pre(&Module::new(&engine, wat)?)?;
/// let pool = SandboxTemplate::new(pre, || Ok(())).pool(PoolConfig::new().max_sandboxes(2))?;
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             for _ in 0..1000 {
///                 assert_eq!(pool.call::<(), i32>("count", ()).unwrap(), 1);
///             }
///         });
///     }
/// });
/// let statistics = pool.statistics();
/// assert_eq!((statistics.sessions, statistics.refused), (4000, 0));
/// assert!(statistics.most_sandboxes <= 2);
/// # Ok::<(), belljar::Error>(())
/// ```
///
/// `G` is what it is a sandbox of: see [`SandboxGuest`].
pub struct SandboxPool<T: 'static, G: SandboxGuest<T> = InstancePre<T>> {
    instances: InstancePool<T, G>,
    config: PoolConfig,
}

impl<T: 'static, G: SandboxGuest<T>> fmt::Debug for SandboxPool<T, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statistics = self.instances.statistics();
        f.debug_struct("SandboxPool").field("config", &self.config).field("statistics", &statistics).finish()
    }
}

impl<T: 'static, G: SandboxGuest<T>> SandboxPool<T, G> {
    pub(super) fn new(factory: Arc<InstanceFactory<T, G>>, config: PoolConfig) -> Result<Self> {
        let instances = InstancePool::new(
            factory,
            Capacity { most: config.most, kept: config.most },
            Some(Expiry { idle_timeout: config.idle_timeout, least: config.least }),
        );
        // Creates at least one, so that errors are reported here.
        instances.warm(config.least.clamp(1, config.most))?;
        Ok(Self { instances, config })
    }

    /// Begins a session in a reset sandbox: several calls, each of which sees what the earlier ones did. Dropping the
    /// session resets the sandbox.
    ///
    /// # Errors
    ///
    /// Returns [`PoolExhausted`] if all sandboxes are in use, or an error if a new sandbox was needed and could not be
    /// created.
    pub fn session(&self) -> Result<Session<'_, T, G>> {
        let patience = match self.config.burst {
            Burst::Wait(time) => time,
            Burst::Refuse => Duration::ZERO,
        };
        match self.instances.take(patience) {
            Some(instance) => Ok(Session::new(&self.instances, instance?, None)),
            None => Err(PoolExhausted { most: self.config.most, burst: self.config.burst }.into()),
        }
    }

    /// Returns the pool's statistics.
    pub fn statistics(&self) -> PoolStatistics {
        self.instances.statistics()
    }

    /// Drops idle sandboxes until [`PoolConfig::min_sandboxes`] are left.
    pub fn shrink(&self) {
        self.instances.shrink(self.config.least);
    }
}
