//! The limits of a store: its usage, its quota, and how growth and runs are counted.

use crate::exit::Exit;
use crate::growth_limiter::{GrowthLimiter, Limiter, Usage};
use crate::limit_group::{COUNTED, GroupShare, LimitGroup, Reservation};
use crate::quota::{Limit, Quota, Refusal};
use crate::recorded_stack::RawStack;
use crate::run_limits::{Deadline, RunGuard, RunLimits};
use crate::store::{NOT_READY, StoreCore};
use crate::store_memory::AnyMemory;
use std::sync::Arc;

impl StoreCore {
    /// Creates the limiter of the store's growth from its quota, its engine's, its group's, and the embedder's limiter.
    pub(crate) fn growth_limiter<'a>(&self, limiter: Option<Limiter<'a>>) -> GrowthLimiter<'a> {
        let used = self.limits.quota.as_ref().map(|_| self.usage()).unwrap_or_default();
        let engine = self.runtime.limits_memory().then(|| self.runtime.clone());
        GrowthLimiter::new(self.limits.quota.clone(), used, engine, self.reservation(), limiter)
    }

    /// Counts the store's usage together with the other stores of a group from now on; `None`: on its own.
    pub fn set_limit_group(&mut self, group: Option<Arc<LimitGroup>>) {
        self.limits.group = group.map(GroupShare::new);
        self.commit_group();
    }

    /// Returns the group that the store belongs to.
    pub(crate) fn limit_group(&self) -> Option<&Arc<LimitGroup>> {
        self.limits.group.as_ref().map(|share| &share.group)
    }

    /// Creates a reservation for growth that is to be decided.
    pub(crate) fn reservation(&self) -> Option<Reservation> {
        Some(self.limits.group.as_ref()?.reservation())
    }

    /// Returns how many memories are not shared.
    pub(crate) fn own_memories(&self) -> u64 {
        self.entities.memories.iter().filter(|m| matches!(m.memory, AnyMemory::Own(_))).count() as u64
    }

    /// Records the decision about growth.
    pub(crate) fn keep_reserved(&mut self, reservation: Option<Reservation>) {
        if let (Some(share), Some(reservation)) = (&mut self.limits.group, reservation) {
            share.take_over(reservation);
        }
        self.commit_group();
    }

    /// Updates the group's account of this store to the actual usage.
    pub(crate) fn commit_group(&mut self) {
        if self.limits.group.is_none() {
            return;
        }
        let usage = self.usage();
        let now = COUNTED.map(|limit| match limit {
            Limit::TableElements => usage.table_elements,
            Limit::GcHeap => self.heap.gc.as_ref().map_or(0, |gc| gc.granted()),
            Limit::Instances => usage.instances,
            Limit::Tables => usage.tables,
            Limit::Memories => self.own_memories(),
            _ => 0,
        });
        if let Some(share) = &mut self.limits.group {
            share.set(now);
        }
    }
}

impl StoreCore {
    /// Returns the current usage.
    pub fn usage(&self) -> Usage {
        Usage {
            memory: self.entities.memories.iter().map(|m| m.memory.length() as u64).sum(),
            table_elements: (0..self.entities.tables.len())
                .map(|table| u64::from(self.table_size(table)))
                .sum(),
            gc_heap: self.heap.gc.as_ref().map_or(0, |gc| gc.heap.size()),
            instances: self.entities.instances.len() as u64,
            tables: self.entities.tables.len() as u64,
            memories: self.entities.memories.len() as u64,
        }
    }

    /// Sets the store's limits.
    pub fn set_quota(&mut self, quota: Quota) {
        self.keep_quota((quota != Quota::UNLIMITED).then(|| Arc::new(quota)));
    }

    /// Sets the limits as [`StoreCore::set_quota`] does, with `None` for no limits.
    pub(crate) fn keep_quota(&mut self, quota: Option<Arc<Quota>>) {
        let all = quota.as_deref().unwrap_or(&Quota::UNLIMITED);
        let stack = all.get(Limit::Stack).and_then(|bytes| usize::try_from(bytes).ok());
        self.context_mut().stack_size = stack.unwrap_or(usize::MAX).min(self.runtime.stack_size);
        self.set_run_limits(all);
        self.limits.quota = quota;
    }

    /// Returns the store's limits.
    pub fn quota(&self) -> Option<&Quota> {
        self.limits.quota.as_deref()
    }

    /// Returns the last growth that the store's quota or its engine's refused.
    pub fn refused(&self) -> Option<Refusal> {
        self.limits.refused
    }

    /// Clears the last refusal.
    pub fn forget_refusal(&mut self) {
        self.limits.refused = None;
    }

    /// Records the decision about growth.
    pub(crate) fn commit(&mut self, mut growth_limiter: GrowthLimiter<'_>) {
        self.limits.refused = growth_limiter.refused().or(self.limits.refused);
        self.limits.taken += growth_limiter.take_granted();
        self.keep_reserved(growth_limiter.group.take());
        drop(growth_limiter);
        self.commit_memory();
    }

    /// Updates the engine's account of this store to the actual usage, after memories grew without a check or shrank.
    pub(crate) fn commit_memory(&mut self) {
        if !self.runtime.limits_memory() {
            return;
        }
        let own = |memory: &AnyMemory| match memory {
            AnyMemory::Own(memory) => memory.length() as u64,
            AnyMemory::Shared(_) => 0,
        };
        let memories: u64 = self.entities.memories.iter().map(|m| own(&m.memory)).sum();
        let used = memories + self.heap.gc.as_ref().map_or(0, |gc| gc.granted());
        if used > self.limits.taken {
            self.runtime.take_memory_unchecked(used - self.limits.taken);
        } else {
            self.runtime.give_back_memory(self.limits.taken - used);
        }
        self.limits.taken = used;
    }
}

impl StoreCore {
    pub(crate) fn set_run_limits(&mut self, quota: &Quota) {
        let (wall, cpu) = (quota.time(Limit::Wall), quota.time(Limit::Cpu));
        let has_deadline = wall.is_some() || cpu.is_some();
        let run_limits = RunLimits {
            fuel: quota.get(Limit::Fuel),
            counts_calls: self.runtime.limits_calls(),
            deadline: has_deadline.then(|| Deadline::new(self.monitor.clone(), wall, cpu)),
            in_session: false,
        };
        let has_rules = has_deadline || run_limits.counts_calls || run_limits.fuel.is_some();
        self.limits.run_limits = has_rules.then(|| Box::new(run_limits));
        self.update_is_special();
    }

    /// Updates whether a run needs checks at its start. Called after every change of what that depends on.
    pub(crate) fn update_is_special(&mut self) {
        self.is_special = self.killed.is_some() || self.limits.run_limits.is_some() || self.has_call_hook;
        self.ready = NOT_READY;
    }

    /// Records whether the store has a hook for calls between host and guest.
    pub(crate) fn set_has_call_hook(&mut self, is_set: bool) {
        self.has_call_hook = is_set;
        self.monitor.set_hooked(is_set);
        self.update_is_special();
    }

    /// Checks the conditions for running a guest, and returns a guard for the run. Nested runs are not checked.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest was killed or a limit is reached.
    pub(crate) fn acquire_run_guard(&mut self) -> Result<RunGuard, Exit> {
        self.check_usable()?;
        let mut guard = RunGuard::default();
        if self.is_running() {
            return Ok(guard);
        }
        let Some(run_limits) = &self.limits.run_limits else { return Ok(guard) };
        let refused = |error: belljar_core::Error| Exit::Error { error, stack: RawStack::default() };
        if run_limits.counts_calls {
            self.runtime.begin_call().map_err(|full| refused(full.into()))?;
            guard.engine = Some(self.runtime.clone());
        }
        if let Some(deadline) = &run_limits.deadline {
            if let Err(reason) = deadline.begin_run().map_err(refused)? {
                self.killed = Some(reason.clone());
                self.update_is_special();
                return Err(Exit::Killed { reason, stack: RawStack::default() });
            }
            guard.deadline = Some(deadline.clone());
        }
        if let (Some(fuel), false) = (run_limits.fuel, run_limits.in_session) {
            self.set_fuel(fuel);
        }
        Ok(guard)
    }

    /// Makes limits of time and fuel apply to all runs together, up to the end of the session. Time between runs
    /// counts, except for CPU time.
    pub fn begin_session(&mut self) {
        let Some(run_limits) = &mut self.limits.run_limits else { return };
        run_limits.in_session = true;
        if let Some(deadline) = &run_limits.deadline {
            deadline.begin_session();
        }
        if let Some(fuel) = run_limits.fuel {
            self.set_fuel(fuel);
        }
    }

    /// Makes limits apply to each run again.
    pub fn end_session(&mut self) {
        let Some(run_limits) = &mut self.limits.run_limits else { return };
        run_limits.in_session = false;
        if let Some(deadline) = &run_limits.deadline {
            deadline.end_session();
        }
    }
}
