//! The account of one compilation: what it has taken, and whether it may go on.
//!
//! In: limits, and what the threads that compile tell of their work. Out: a yes, or that it is over, which from then on every
//! thread is told. Never: an effect on the code that is made, or a wait.
//!
//! ```text
//! Budget ── work() ──────▶ Work: CPU time of one thread, from look to look
//!        └─ function() ──▶ FunctionBudget: a Work, and the memory that one function takes
//! ```
//!
//! **Invariant:** whether a function has too little memory depends on that function and the limit alone: one that has no room beside
//! others is [`CompileError::Crowded`], and compiled again when no others are.

use crate::limits::{CompileLimit, CompileLimitExceeded, CompileLimits, FunctionCost};
use crate::{CompileError, CompileTimes};
use belljar_core::FuncIndex;
use belljar_module::StopCheck;
use belljar_parallel::thread_cpu_time;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Ends compilations from another thread. Cheap to clone; what was cancelled stays so.
#[derive(Clone, Debug, Default)]
pub struct CompileCancel(Arc<AtomicBool>);

impl CompileCancel {
    /// Of no compilation yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends all compilations that were given this.
    pub fn cancel(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether [`CompileCancel::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Bytes of memory that compiling takes for each instruction, value and operand of a function when it is written out: measured as the
/// process's peak, over functions of 170,000 to 3,600,000 of them, which take 35 to 270.
const BYTES_WRITTEN_OUT: u64 = 200;

/// What is written out between two looks.
const STRIDE: u64 = 1 << 14;

/// The account of one compilation. Shared by the threads that compile.
#[derive(Debug)]
pub struct Budget {
    limits: CompileLimits,
    /// How much CPU time there is in all.
    cpu: Option<Duration>,
    cancel: CompileCancel,
    /// Nanoseconds of CPU time.
    used_cpu: AtomicU64,
    /// Bytes that functions in compilation take.
    memory: AtomicU64,
    costliest: Mutex<Option<FunctionCost>>,
    /// Why it is over.
    end: OnceLock<CompileError>,
}

impl Budget {
    /// For a module of this many bytes.
    pub fn new(limits: CompileLimits, cancel: CompileCancel, module_bytes: u64) -> Self {
        Self {
            cpu: limits.cpu_for(module_bytes),
            limits,
            cancel,
            used_cpu: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            costliest: Mutex::default(),
            end: OnceLock::new(),
        }
    }

    /// No limits.
    pub fn unlimited() -> Self {
        Self::new(CompileLimits::unlimited(), CompileCancel::new(), 0)
    }

    /// Whether something may be of this size.
    ///
    /// # Errors
    ///
    /// Where it may not. Then the compilation is over.
    pub fn check(
        &self,
        limit: CompileLimit,
        wanted: u64,
        function: Option<FunctionCost>,
    ) -> Result<(), CompileError> {
        match self.limits.check(limit, wanted) {
            Ok(()) => Ok(()),
            Err(exceeded) => Err(self.end_with(CompileLimitExceeded { function, ..exceeded }.into())),
        }
    }

    /// Why it is over, if it is.
    pub fn end(&self) -> Option<CompileError> {
        self.end.get().cloned()
    }

    /// Whoever waits for it does so no longer. Why: the limit of time, unless it was over for something else.
    pub fn time_is_over(&self) -> CompileError {
        let allowed = self.limits.get(CompileLimit::Wall).unwrap_or_default();
        let costliest = *self.costliest.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = CompileLimit::Wall;
        self.end_with(CompileLimitExceeded { limit, wanted: None, allowed, function: costliest }.into())
    }

    fn end_with(&self, why: CompileError) -> CompileError {
        self.end.get_or_init(|| why).clone()
    }

    /// The work of this thread, from now on.
    pub fn work(&self) -> Work<'_> {
        let since = self.cpu.map(|_| thread_cpu_time());
        Work { budget: self, since, own: Duration::ZERO }
    }

    /// The work of this thread on a function.
    ///
    /// # Errors
    ///
    /// Where the compilation is over.
    pub fn function(&self, index: FuncIndex, bytes: u64) -> Result<FunctionBudget<'_>, CompileError> {
        let cost = FunctionCost { index, bytes, written_out: 0, cpu: Duration::ZERO };
        let mut function =
            FunctionBudget { work: self.work(), cost, reserved: 0, times: CompileTimes::default() };
        function.charge(Duration::ZERO)?;
        Ok(function)
    }

    fn used_cpu(&self) -> Duration {
        Duration::from_nanos(self.used_cpu.load(Relaxed))
    }

    /// Notes what a function has taken; the one that took most of all.
    fn note(&self, cost: FunctionCost) -> FunctionCost {
        let mut costliest = self.costliest.lock().unwrap_or_else(PoisonError::into_inner);
        match *costliest {
            Some(costliest) if costliest.cpu >= cost.cpu => costliest,
            _ => *costliest.insert(cost),
        }
    }
}

/// What one thread does for a compilation.
#[derive(Debug)]
pub struct Work<'a> {
    budget: &'a Budget,
    /// CPU time of the thread when it was last looked at; none where nobody wants to know.
    since: Option<Duration>,
    own: Duration,
}

impl Work<'_> {
    /// Adds the CPU time since the last look, and whether there is enough for what is to come.
    ///
    /// # Errors
    ///
    /// Where the compilation is over: by this, or since another thread found that.
    pub fn charge(&mut self, expected: Duration) -> Result<(), CompileError> {
        self.charge_for(expected, None)
    }

    fn charge_for(&mut self, expected: Duration, function: Option<FunctionCost>) -> Result<(), CompileError> {
        let budget = self.budget;
        if let Some(end) = budget.end.get() {
            return Err(end.clone());
        }
        if budget.cancel.is_cancelled() {
            return Err(budget.end_with(CompileError::Cancelled));
        }
        let (Some(since), Some(allowed)) = (&mut self.since, budget.cpu) else { return Ok(()) };
        let now = thread_cpu_time();
        let spent = now.saturating_sub(*since);
        *since = now;
        self.own += spent;
        budget.used_cpu.fetch_add(spent.as_nanos() as u64, Relaxed);
        if budget.used_cpu().saturating_add(expected) <= allowed {
            return Ok(());
        }
        let cost =
            function.map(|cost| budget.note(FunctionCost { cpu: self.own.saturating_add(expected), ..cost }));
        let (limit, allowed) = (CompileLimit::Cpu, allowed.as_nanos() as u64);
        Err(budget.end_with(CompileLimitExceeded { limit, wanted: None, allowed, function: cost }.into()))
    }
}

/// What one thread does for a function.
#[derive(Debug)]
pub struct FunctionBudget<'a> {
    work: Work<'a>,
    cost: FunctionCost,
    /// Bytes that are counted for it.
    reserved: u64,
    /// What its stages took.
    pub times: CompileTimes,
}

impl FunctionBudget<'_> {
    /// As [`Work::charge`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn charge(&mut self, expected: Duration) -> Result<(), CompileError> {
        self.work.charge_for(expected, Some(self.cost))
    }

    /// What the function was when it was last asked for: instructions, values and operands.
    pub fn written_out(&self) -> u64 {
        self.cost.written_out
    }

    /// The function has grown to this many instructions, values and operands. Returns how many there may be before this is to be
    /// called again.
    ///
    /// # Errors
    ///
    /// As [`Work::charge`]; where there is too little memory for it; and [`CompileError::Crowded`].
    pub fn grown_to(&mut self, written_out: u64) -> Result<u64, CompileError> {
        let budget = self.work.budget;
        self.cost.written_out = written_out;
        self.charge(Duration::ZERO)?;
        let bytes = written_out * BYTES_WRITTEN_OUT;
        budget.check(CompileLimit::Memory, bytes, Some(self.cost))?;
        if let Some(limit) = budget.limits.get(CompileLimit::Memory) {
            let more = bytes.saturating_sub(self.reserved);
            self.reserved += more;
            if budget.memory.fetch_add(more, Relaxed) + more > limit {
                return Err(CompileError::Crowded);
            }
        }
        Ok(written_out + STRIDE)
    }
}

/// The function is done, or given up.
impl Drop for FunctionBudget<'_> {
    fn drop(&mut self) {
        let budget = self.work.budget;
        budget.memory.fetch_sub(self.reserved, Relaxed);
        if self.work.since.is_some() {
            // Whether there is time for others, they find out.
            let _ = self.work.charge_for(Duration::ZERO, Some(self.cost));
            budget.note(FunctionCost { cpu: self.work.own, ..self.cost });
        }
    }
}

/// CPU time of a step of validation: one value checked.
const STEP: Duration = Duration::from_nanos(4);

/// Validation is a part of the compilation.
impl StopCheck for Budget {
    fn checker(&self) -> Box<dyn FnMut(u64) -> bool + '_> {
        let mut work = self.work();
        Box::new(move |steps| {
            let steps = u32::try_from(steps).unwrap_or(u32::MAX);
            work.charge(STEP.saturating_mul(steps)).is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limits: CompileLimits) -> Budget {
        Budget::new(limits, CompileCancel::new(), 0)
    }

    fn limit(error: CompileError) -> CompileLimitExceeded {
        match error {
            CompileError::Limit(exceeded) => *exceeded,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_function_alone_has_all_the_memory_and_beside_others_what_is_left() {
        let budget = budget(CompileLimits::unlimited().memory(1000 * BYTES_WRITTEN_OUT));
        let mut first = budget.function(FuncIndex(0), 10).unwrap();
        first.grown_to(600).unwrap();
        let mut second = budget.function(FuncIndex(1), 20).unwrap();
        assert_eq!(second.grown_to(500), Err(CompileError::Crowded));
        drop(first);
        assert_eq!(second.grown_to(500), Ok(500 + STRIDE));
        drop(second);
        assert_eq!(budget.memory.load(Relaxed), 0);
        let mut alone = budget.function(FuncIndex(1), 20).unwrap();
        assert!(alone.grown_to(1000).is_ok());
        let exceeded = limit(alone.grown_to(1001).unwrap_err());
        assert_eq!(exceeded.wanted(), Some(1001 * BYTES_WRITTEN_OUT));
        assert_eq!(
            exceeded.function().map(|f| (f.index, f.bytes, f.written_out)),
            Some((FuncIndex(1), 20, 1001))
        );
        // It is over for all, for the same reason.
        assert_eq!(limit(budget.function(FuncIndex(2), 5).unwrap_err()), exceeded);
    }

    #[test]
    fn time_that_is_foreseen_is_not_spent() {
        let limits = CompileLimits::unlimited().cpu(Duration::from_secs(50));
        let budget = Budget::new(limits.cpu_per_mib(Duration::from_secs(50)), CompileCancel::new(), 1 << 20);
        let mut function = budget.function(FuncIndex(7), 10).unwrap();
        function.charge(Duration::from_secs(90)).unwrap();
        let exceeded = limit(function.charge(Duration::from_secs(101)).unwrap_err());
        assert_eq!((exceeded.limit(), exceeded.allowed()), (CompileLimit::Cpu, 100_000_000_000));
        assert_eq!(exceeded.function().map(|f| f.index), Some(FuncIndex(7)));
        let other = Budget::new(CompileLimits::unlimited().cpu(Duration::MAX), CompileCancel::new(), 1);
        let ended = other.function(FuncIndex(7), 10).unwrap().charge(Duration::MAX);
        assert_eq!(limit(ended.unwrap_err()).limit(), CompileLimit::Cpu);
    }

    #[test]
    fn whoever_is_cancelled_stays_so() {
        let cancel = CompileCancel::new();
        let budget = Budget::new(CompileLimits::unlimited(), cancel.clone(), 0);
        let mut work = budget.work();
        work.charge(Duration::MAX).unwrap();
        cancel.clone().cancel();
        assert_eq!(work.charge(Duration::ZERO), Err(CompileError::Cancelled));
        assert_eq!(budget.end(), Some(CompileError::Cancelled));
    }
}
