//! Sandboxes for many threads at once.

use super::Session;
use super::instance_factory::InstanceFactory;
use super::instance_pool::{Capacity, Expiry, InstancePool};
use super::statistics::PoolStatistics;
use crate::{Result, WasmParams, WasmResults};
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

/// What happens to those who want a sandbox when all are in use and there may be no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Burst {
    /// They wait, but no longer than this, and are refused then.
    Wait(Duration),
    /// They are refused at once.
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
    /// At most 1000 sandboxes, none made in advance; who comes when all are in use waits up to 10 seconds; what nobody has needed
    /// for 10 seconds goes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sandboxes that may be in use at once: each takes its dirty pages, some 50 KB and a few mappings of the process. One at least.
    pub fn max_sandboxes(mut self, most: usize) -> Self {
        self.most = most.max(1);
        self
    }

    /// Sandboxes that are made in advance, and kept.
    pub fn min_sandboxes(mut self, least: usize) -> Self {
        self.least = least;
        self
    }

    /// What happens when all are in use.
    pub fn on_burst(mut self, burst: Burst) -> Self {
        self.burst = burst;
        self
    }

    /// How long sandboxes are kept that nobody needs. It is looked after when others are given back; see
    /// [`SandboxPool::shrink`] for when there are none.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.idle_timeout = time;
        self
    }
}

/// All sandboxes of a pool are in use. In an [`Error`](crate::Error) of [`SandboxPool::call`] and [`SandboxPool::session`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolExhausted {
    most: usize,
    burst: Burst,
}

impl fmt::Display for PoolExhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { most, burst } = self;
        write!(f, "all {most} sandboxes of the pool are in use")?;
        if let Burst::Wait(time) = burst {
            write!(f, ", and none was given back within {time:?}")?;
        }
        f.write_str(" (PoolConfig::max_sandboxes, PoolConfig::on_burst)")
    }
}

impl std::error::Error for PoolExhausted {}

/// Sandboxes for many threads at once: whoever calls gets a clean one, and what it leaves behind is wiped.
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
pub struct SandboxPool<T: 'static> {
    instances: InstancePool<T>,
    config: PoolConfig,
}

impl<T: 'static> fmt::Debug for SandboxPool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statistics = self.instances.statistics();
        f.debug_struct("SandboxPool").field("config", &self.config).field("statistics", &statistics).finish()
    }
}

impl<T: 'static> SandboxPool<T> {
    pub(super) fn new(factory: Arc<InstanceFactory<T>>, config: PoolConfig) -> Result<Self> {
        let instances = InstancePool::new(
            factory,
            Capacity { most: config.most, kept: config.most },
            Some(Expiry { idle_timeout: config.idle_timeout, least: config.least }),
        );
        // One at least, so that what is wrong is told here.
        instances.warm(config.least.clamp(1, config.most))?;
        Ok(Self { instances, config })
    }

    /// Calls an export of a clean sandbox, which is wiped however that ends.
    ///
    /// # Errors
    ///
    /// How the run ended if not by returning; that there is no such export; [`PoolExhausted`].
    pub fn call<P: WasmParams, R: WasmResults>(&self, export: &str, params: P) -> Result<R> {
        self.session()?.call_once(export, params)
    }

    /// A clean sandbox for several calls that see what the ones before did, up to when the session is dropped.
    ///
    /// # Errors
    ///
    /// [`PoolExhausted`]; that a new sandbox was needed and could not be made.
    pub fn session(&self) -> Result<Session<'_, T>> {
        let patience = match self.config.burst {
            Burst::Wait(time) => time,
            Burst::Refuse => Duration::ZERO,
        };
        match self.instances.take(patience) {
            Some(instance) => Ok(Session::new(&self.instances, instance?, None)),
            None => Err(PoolExhausted { most: self.config.most, burst: self.config.burst }.into()),
        }
    }

    /// What it has done so far.
    pub fn statistics(&self) -> PoolStatistics {
        self.instances.statistics()
    }

    /// Lets all sandboxes go that nobody uses, but for [`PoolConfig::min_sandboxes`].
    pub fn shrink(&self) {
        self.instances.shrink(self.config.least);
    }
}
