//! The budget of one compilation: what it has used, and whether it may continue.
//!
//! In: limits, and reports of the compiling threads about their work. Out: permission to continue, or the reason why
//! the compilation is over, which every thread receives from then on. Never: an effect on the generated code, or a
//! wait.
//!
//! ```text
//! Budget ── work() ──────▶ Work: CPU time of one thread, measured from call to call of `charge`
//!        └─ function() ──▶ FunctionBudget: a Work, and the memory that one function takes
//! ```
//!
//! **Invariant:** whether a function exceeds the memory limit depends on that function and the limit alone. A function
//! that does not fit beside others fails with [`CompileError::Crowded`] and is compiled again when no others are being
//! compiled.

use crate::limits::{CompileLimit, CompileLimitExceeded, CompileLimits, FunctionCost};
use crate::{CompileError, CompileTimes};
use belljar_core::FuncIndex;
use belljar_module::StopCheck;
use belljar_parallel::thread_cpu_time;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Cancels compilations from another thread. Cheap to clone; cancellation is permanent.
#[derive(Clone, Debug, Default)]
pub struct CompileCancel(Arc<AtomicBool>);

impl CompileCancel {
    /// Creates a handle that belongs to no compilation yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels all compilations that were given this handle.
    pub fn cancel(&self) {
        self.0.store(true, Relaxed);
    }

    /// Returns whether [`CompileCancel::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Bytes of memory that compilation takes for each instruction, value and operand of a function's CLIF. Measured as the
/// peak of the process: 35 to 270 bytes, for functions of 170,000 to 3,600,000 of them.
const BYTES_WRITTEN_OUT: u64 = 200;

/// Instructions, values and operands between two calls of [`FunctionBudget::grown_to`].
const STRIDE: u64 = 1 << 14;

/// The budget of one compilation, shared by the compiling threads.
#[derive(Debug)]
pub struct Budget {
    limits: CompileLimits,
    /// The CPU time that is allowed in all.
    cpu: Option<Duration>,
    cancel: CompileCancel,
    /// Nanoseconds of CPU time used.
    used_cpu: AtomicU64,
    /// Bytes used by the functions being compiled.
    memory: AtomicU64,
    costliest: Mutex<Option<FunctionCost>>,
    /// The reason why the compilation is over.
    end: OnceLock<CompileError>,
}

impl Budget {
    /// Creates a budget for a module of this many bytes.
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

    /// Creates a budget without limits.
    pub fn unlimited() -> Self {
        Self::new(CompileLimits::unlimited(), CompileCancel::new(), 0)
    }

    /// Checks an amount against a limit.
    ///
    /// # Errors
    ///
    /// Returns an error if the amount exceeds the limit. The compilation is then over.
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

    /// Returns the reason why the compilation is over, if it is.
    pub fn end(&self) -> Option<CompileError> {
        self.end.get().cloned()
    }

    /// Ends the compilation because the caller's wait timed out. Returns the reason: the time limit, unless the
    /// compilation was already over for another reason.
    pub fn time_is_over(&self) -> CompileError {
        let allowed = self.limits.get(CompileLimit::Wall).unwrap_or_default();
        let costliest = *self.costliest.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = CompileLimit::Wall;
        self.end_with(CompileLimitExceeded { limit, wanted: None, allowed, function: costliest }.into())
    }

    fn end_with(&self, why: CompileError) -> CompileError {
        self.end.get_or_init(|| why).clone()
    }

    /// Starts measuring the work of this thread.
    pub fn work(&self) -> Work<'_> {
        let since = self.cpu.map(|_| thread_cpu_time());
        Work { budget: self, since, own: Duration::ZERO }
    }

    /// Starts measuring the work of this thread on a function.
    ///
    /// # Errors
    ///
    /// Returns an error if the compilation is over.
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

    /// Records the cost of a function. Returns the cost of the most expensive one so far.
    fn record(&self, cost: FunctionCost) -> FunctionCost {
        let mut costliest = self.costliest.lock().unwrap_or_else(PoisonError::into_inner);
        match *costliest {
            Some(costliest) if costliest.cpu >= cost.cpu => costliest,
            _ => *costliest.insert(cost),
        }
    }
}

/// The work of one thread for a compilation.
#[derive(Debug)]
pub struct Work<'a> {
    budget: &'a Budget,
    /// The thread's CPU time at the last measurement; `None` if CPU time is not limited.
    since: Option<Duration>,
    own: Duration,
}

impl Work<'_> {
    /// Adds the CPU time since the last call, and checks that enough is left for the work ahead.
    ///
    /// # Errors
    ///
    /// Returns an error if the compilation is over, for this reason or because another thread ended it.
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
        let cost = function
            .map(|cost| budget.record(FunctionCost { cpu: self.own.saturating_add(expected), ..cost }));
        let (limit, allowed) = (CompileLimit::Cpu, allowed.as_nanos() as u64);
        Err(budget.end_with(CompileLimitExceeded { limit, wanted: None, allowed, function: cost }.into()))
    }
}

/// The work of one thread on a function.
#[derive(Debug)]
pub struct FunctionBudget<'a> {
    work: Work<'a>,
    cost: FunctionCost,
    /// Bytes reserved for the function.
    reserved: u64,
    /// The time that each stage took.
    pub times: CompileTimes,
}

impl FunctionBudget<'_> {
    /// Does the same as [`Work::charge`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Work::charge`].
    pub fn charge(&mut self, expected: Duration) -> Result<(), CompileError> {
        self.work.charge_for(expected, Some(self.cost))
    }

    /// Returns the size of the function's CLIF at the last call of [`FunctionBudget::grown_to`]: instructions, values
    /// and operands.
    pub fn written_out(&self) -> u64 {
        self.cost.written_out
    }

    /// Reports that the function's CLIF has grown to this many instructions, values and operands. Returns the size at
    /// which to call this again.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Work::charge`], an error if the function alone exceeds the memory limit, and
    /// [`CompileError::Crowded`].
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

/// Releases the memory of a function that is finished or abandoned.
impl Drop for FunctionBudget<'_> {
    fn drop(&mut self) {
        let budget = self.work.budget;
        budget.memory.fetch_sub(self.reserved, Relaxed);
        if self.work.since.is_some() {
            // Other functions check whether time is left for them.
            let _ = self.work.charge_for(Duration::ZERO, Some(self.cost));
            budget.record(FunctionCost { cpu: self.work.own, ..self.cost });
        }
    }
}

/// CPU time of one step of validation: one value checked.
const STEP: Duration = Duration::from_nanos(4);

/// Validation counts as part of the compilation.
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
        // The compilation is over for all functions, for the same reason.
        assert_eq!(limit(budget.function(FuncIndex(2), 5).unwrap_err()), exceeded);
    }

    #[test]
    fn estimated_time_is_not_spent() {
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
    fn cancellation_is_permanent() {
        let cancel = CompileCancel::new();
        let budget = Budget::new(CompileLimits::unlimited(), cancel.clone(), 0);
        let mut work = budget.work();
        work.charge(Duration::MAX).unwrap();
        cancel.clone().cancel();
        assert_eq!(work.charge(Duration::ZERO), Err(CompileError::Cancelled));
        assert_eq!(budget.end(), Some(CompileError::Cancelled));
    }
}
