//! Who decides about growth: the store's quota, its engine's, and the embedder's limiter. All have to agree.
//!
//! In: what is in use now, and what somebody wants. Out: a yes, or a refusal that is remembered, so that whoever has to make an
//! error of it has the numbers. Never: a count that could differ from what the store has. What a store uses is asked of its lists
//! each time, and what it takes of its engine's quota is made equal to that again after each growth.

use crate::limit_group::Reservation;
use crate::limits::ResourceLimiter;
use crate::quota::{EngineLimitExceeded, Limit, LimitExceeded, Quota, Refusal};
use crate::runtime::Runtime;
use std::sync::Arc;

/// What a store uses now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Bytes of all its memories, those that it shares with others included.
    pub memory: u64,
    /// Elements of all its tables.
    pub table_elements: u64,
    /// Bytes of its heap of objects.
    pub gc_heap: u64,
    /// Its instances.
    pub instances: u64,
    /// Its tables.
    pub tables: u64,
    /// Its memories.
    pub memories: u64,
}

/// Decides about growth, once.
pub(crate) struct GrowthLimiter<'a> {
    quota: Option<Arc<Quota>>,
    used: Usage,
    /// Only where it counts together with other stores.
    pub(crate) group: Option<Reservation>,
    /// Only where it has a quota.
    engine: Option<Arc<Runtime>>,
    /// Bytes of the engine's quota that were taken for growth that is being decided.
    taken: u64,
    limiter: Option<Limiter<'a>>,
    refused: Option<Refusal>,
    /// Whether it is about a memory that the store shares with others: that has an account of its own with the engine.
    is_shared: bool,
}

impl<'a> GrowthLimiter<'a> {
    /// `used`: what the store uses now, if it has a quota. `engine`: if its engine has a limit on memory.
    pub(crate) fn new(
        quota: Option<Arc<Quota>>,
        used: Usage,
        engine: Option<Arc<Runtime>>,
        group: Option<Reservation>,
        limiter: Option<Limiter<'a>>,
    ) -> Self {
        Self { quota, used, group, engine, taken: 0, limiter, refused: None, is_shared: false }
    }

    /// Itself, if it has anything to say.
    pub(crate) fn limiter(&mut self) -> Option<&mut dyn ResourceLimiter> {
        self.is_shared = false;
        let decides = self.quota.is_some() || self.engine.is_some() || self.limiter.is_some();
        decides.then_some(self)
    }

    /// Itself, for a memory that the store shares with others.
    pub(crate) fn limiter_of_shared(&mut self) -> &mut dyn ResourceLimiter {
        self.is_shared = true;
        self
    }

    /// What was refused, and by whom if it was not the embedder's limiter.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.refused
    }

    /// The error of something that is not made as growth was refused.
    pub(crate) fn error(&self, otherwise: impl FnOnce() -> String) -> anyhow::Error {
        self.refused.map_or_else(|| anyhow::Error::msg(otherwise()), Refusal::into_error)
    }

    /// What was taken of the engine's quota. The store has it from now on.
    pub(crate) fn hand_over(&mut self) -> u64 {
        std::mem::take(&mut self.taken)
    }

    /// Whether there may be one more of something that is counted.
    ///
    /// # Errors
    ///
    /// Where there may not.
    pub(crate) fn check_count(&mut self, limit: Limit, now: usize) -> anyhow::Result<()> {
        // Which memories are counted together, whoever makes them knows.
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
        anyhow::ensure!(now < allowed, "the store holds {now} {what}, and its limit is {allowed}");
        Ok(())
    }

    fn refuse(&mut self, why: Refusal) -> anyhow::Result<bool> {
        self.refused = Some(why);
        match &self.quota {
            Some(quota) if quota.trap_on_grow_failure => Err(why.into_error()),
            _ => Ok(false),
        }
    }

    /// Whether there may be one more memory that is the store's own, beside those that are.
    ///
    /// # Errors
    ///
    /// Where there may not.
    pub(crate) fn check_own_memories(&mut self, now: u64) -> anyhow::Result<()> {
        self.exceeded(Limit::Memories, now + 1).map_or(Ok(()), |exceeded| Err(exceeded.into_error()))
    }

    /// Why the quota does not allow the store so much, if it does not.
    fn exceeded_alone(&self, limit: Limit, wanted: u64) -> Option<Refusal> {
        self.quota.as_ref()?.exceeded(limit, wanted).map(Refusal::Store)
    }

    /// As [`GrowthLimiter::exceeded_alone`], with what the other stores of its group have.
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
    ) -> anyhow::Result<bool> {
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

    fn memory_grow_failed(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        self.limiter.as_mut().map_or(Ok(()), |limiter| limiter.memory_grow_failed(error))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> anyhow::Result<bool> {
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

    fn table_grow_failed(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        self.limiter.as_mut().map_or(Ok(()), |limiter| limiter.table_grow_failed(error))
    }

    fn gc_heap_growing(&mut self, current: usize, desired: usize) -> anyhow::Result<bool> {
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
