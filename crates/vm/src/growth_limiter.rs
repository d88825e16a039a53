//! Decides about growth: the store's quota, its engine's, its group's and the embedder's limiter must all agree.
//!
//! In: the current usage, and the requested size. Out: permission, or a refusal that is remembered, so that the
//! resulting error can state the numbers. Never: a count that could differ from the store's actual usage. The usage is
//! computed from the store's lists each time, and what the store has taken of its engine's quota is set to the usage
//! again after each growth.

use crate::limit_group::Reservation;
use crate::limits::ResourceLimiter;
use crate::quota::{EngineLimitExceeded, Limit, LimitExceeded, Quota, Refusal};
use crate::runtime::Runtime;
use std::sync::Arc;

/// The current usage of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Bytes of all its memories, including shared ones.
    pub memory: u64,
    /// Elements of all its tables.
    pub table_elements: u64,
    /// Bytes of its heap of objects.
    pub gc_heap: u64,
    /// Number of instances.
    pub instances: u64,
    /// Number of tables.
    pub tables: u64,
    /// Number of memories.
    pub memories: u64,
}

/// Decides about one growth.
pub(crate) struct GrowthLimiter<'a> {
    quota: Option<Arc<Quota>>,
    used: Usage,
    /// Only if the store is counted together with other stores.
    pub(crate) group: Option<Reservation>,
    /// Only if the engine has a quota.
    engine: Option<Arc<Runtime>>,
    /// Bytes of the engine's quota that were taken for the growth that is being decided.
    taken: u64,
    limiter: Option<Limiter<'a>>,
    refused: Option<Refusal>,
    /// Whether it decides about a memory that the store shares: such a memory has an account of its own with the
    /// engine.
    is_shared: bool,
}

impl<'a> GrowthLimiter<'a> {
    /// Creates a limiter. `used` is the current usage, if the store has a quota; `engine` is given if the engine limits
    /// memory.
    pub(crate) fn new(
        quota: Option<Arc<Quota>>,
        used: Usage,
        engine: Option<Arc<Runtime>>,
        group: Option<Reservation>,
        limiter: Option<Limiter<'a>>,
    ) -> Self {
        Self { quota, used, group, engine, taken: 0, limiter, refused: None, is_shared: false }
    }

    /// Returns itself as a limiter, if anything is limited.
    pub(crate) fn limiter(&mut self) -> Option<&mut dyn ResourceLimiter> {
        self.is_shared = false;
        let decides = self.quota.is_some() || self.engine.is_some() || self.limiter.is_some();
        decides.then_some(self)
    }

    /// Returns itself as the limiter of a shared memory.
    pub(crate) fn limiter_of_shared(&mut self) -> &mut dyn ResourceLimiter {
        self.is_shared = true;
        self
    }

    /// Returns the refusal, unless it was the embedder's limiter that refused.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.refused
    }

    /// Returns the error of an operation that failed because growth was refused.
    pub(crate) fn error(&self, otherwise: impl FnOnce() -> String) -> belljar_core::Error {
        self.refused.map_or_else(|| belljar_core::Error::msg(otherwise()), Refusal::into_error)
    }

    /// Passes what was taken of the engine's quota to the store, and returns it.
    pub(crate) fn take_granted(&mut self) -> u64 {
        std::mem::take(&mut self.taken)
    }

    /// Checks that there may be one more of something that is counted.
    ///
    /// # Errors
    ///
    /// Returns an error if there may not.
    pub(crate) fn check_count(&mut self, limit: Limit, now: usize) -> belljar_core::Result<()> {
        // The caller counts memories together with those of the group.
        let exceeded = match limit {
            Limit::Memories => self.exceeded_alone(limit, now as u64 + 1),
            _ => self.exceeded(limit, now as u64 + 1),
        };
        if let Some(exceeded) = exceeded {
            return Err(exceeded.into_error());
        }
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let allowed = match limit {
            Limit::Instances => limiter.instances(),
            Limit::Tables => limiter.tables(),
            Limit::Memories => limiter.memories(),
            _ => usize::MAX,
        };
        let what = limit.name();
        belljar_core::ensure!(now < allowed, "{what}: the store has {now}, and its limit is {allowed}");
        Ok(())
    }

    fn refuse(&mut self, why: Refusal) -> belljar_core::Result<bool> {
        self.refused = Some(why);
        match &self.quota {
            Some(quota) if quota.trap_on_grow_failure => Err(why.into_error()),
            _ => Ok(false),
        }
    }

    /// Checks that the store may have one more memory of its own.
    ///
    /// # Errors
    ///
    /// Returns an error if it may not.
    pub(crate) fn check_own_memories(&mut self, now: u64) -> belljar_core::Result<()> {
        self.exceeded(Limit::Memories, now + 1).map_or(Ok(()), |exceeded| Err(exceeded.into_error()))
    }

    /// Returns a refusal if the store's own quota does not allow this amount.
    fn exceeded_alone(&self, limit: Limit, wanted: u64) -> Option<Refusal> {
        self.quota.as_ref()?.exceeded(limit, wanted).map(Refusal::Store)
    }

    /// The same as [`GrowthLimiter::exceeded_alone`], including the usage of the other stores of its group.
    fn exceeded(&mut self, limit: Limit, wanted: u64) -> Option<Refusal> {
        if let Some(alone) = self.exceeded_alone(limit, wanted) {
            return Some(alone);
        }
        let allowed = self.quota.as_ref().and_then(|quota| quota.get(limit));
        let together = self.group.as_mut()?.reserve(limit, wanted, allowed).err()?;
        Some(Refusal::Store(LimitExceeded::new(limit, Some(together), allowed?)))
    }

    /// Takes part of the engine's quota.
    fn take(&mut self, bytes: u64) -> Result<(), EngineLimitExceeded> {
        if let Some(engine) = self.engine.as_ref().filter(|_| !self.is_shared) {
            engine.take_memory(bytes)?;
            self.taken += bytes;
        }
        Ok(())
    }
}

impl Drop for GrowthLimiter<'_> {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.as_ref().filter(|_| self.taken > 0) {
            engine.give_back_memory(self.taken);
        }
    }
}

impl ResourceLimiter for GrowthLimiter<'_> {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> belljar_core::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let wanted = self.used.memory.saturating_add(more);
        if let Some(why) = self.exceeded(Limit::Memory, wanted) {
            return self.refuse(why);
        }
        if let Some(limiter) = &mut self.limiter
            && !limiter.memory_growing(current, desired, maximum)?
        {
            return Ok(false);
        }
        if let Err(why) = self.take(more) {
            return self.refuse(Refusal::Engine(why));
        }
        self.used.memory = wanted;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: belljar_core::Error) -> belljar_core::Result<()> {
        self.limiter.as_mut().map_or(Ok(()), |limiter| limiter.memory_grow_failed(error))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> belljar_core::Result<bool> {
        let wanted = self.used.table_elements.saturating_add(desired.saturating_sub(current) as u64);
        if let Some(why) = self.exceeded(Limit::TableElements, wanted) {
            return self.refuse(why);
        }
        if let Some(limiter) = &mut self.limiter
            && !limiter.table_growing(current, desired, maximum)?
        {
            return Ok(false);
        }
        self.used.table_elements = wanted;
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: belljar_core::Error) -> belljar_core::Result<()> {
        self.limiter.as_mut().map_or(Ok(()), |limiter| limiter.table_grow_failed(error))
    }

    fn gc_heap_growing(&mut self, current: usize, desired: usize) -> belljar_core::Result<bool> {
        if let Some(why) = self.exceeded(Limit::GcHeap, desired as u64) {
            return self.refuse(why);
        }
        if let Some(limiter) = &mut self.limiter
            && !limiter.gc_heap_growing(current, desired)?
        {
            return Ok(false);
        }
        match self.take(desired.saturating_sub(current) as u64) {
            Ok(()) => Ok(true),
            Err(why) => self.refuse(Refusal::Engine(why)),
        }
    }
}

/// A limiter, borrowed from the embedder's data.
pub type Limiter<'a> = &'a mut dyn ResourceLimiter;
