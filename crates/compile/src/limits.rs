//! The limits of a compilation.
//!
//! In: the embedder's numbers. Out: success, or an error that names the limit, the requested amount and the function.
//! Never: an effect on the generated code.

use belljar_core::{FuncIndex, define_limits};
use std::fmt;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

// The largest known programs (pandoc, Swift's compiler: 60 MB, 620,000 functions) fit; typical code takes 0.1 to 0.4 s
// per MiB.
define_limits! {
    /// A quantity of a compilation that can be limited. Each has a method of the same name in [`CompileLimits`].
    pub enum CompileLimit {
    ModuleSize "module_size" Bytes Some(128 << 20), "Bytes of the module";
    Functions "functions" Count Some(1_000_000), "Functions that the module defines";
    FunctionSize "function_size" Bytes Some(4 << 20), "Bytes of one function's body";
    Cpu "cpu" Time Some(SECOND), "CPU time of all threads, on top of the allowance for the module's size";
    CpuPerMib "cpu_per_mib" Time Some(4 * SECOND), "CPU time that each MiB of the module adds, if CPU time is limited";
    Memory "memory" Bytes Some(192 << 20), "Memory of the functions that are compiled at the same time";
    Wall "wall" Time None, "Time from the beginning of the compilation to its end";
    }
}

/// Limits for the compilation of a module: [`Config::compile_limits`] and `CodeBuilder::limits` of the crate `belljar`.
///
/// [`CompileLimits::default`] is for untrusted code, [`CompileLimits::unlimited`] sets no limits. A module whose code
/// comes from the cache or from an artifact is not compiled, and so is not subject to these limits.
///
/// [`Config::compile_limits`]: https://docs.rs/belljar/latest/belljar/struct.Config.html
///
/// ```
/// use belljar_compile::{CompileLimit, CompileLimits};
/// use std::time::Duration;
///
/// let limits = CompileLimits::default().memory(64 << 20).wall(Duration::from_secs(5));
/// assert_eq!(limits.get(CompileLimit::Memory), Some(64 << 20));
/// assert_eq!(limits.cpu_for(2 << 20), Some(Duration::from_secs(1 + 2 * 4)));
/// assert_eq!(CompileLimits::unlimited().cpu_for(2 << 20), None);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CompileLimits {
    amounts: [Option<u64>; CompileLimit::ALL.len()],
}

impl Default for CompileLimits {
    /// Limits for untrusted code.
    fn default() -> Self {
        let mut limits = Self::unlimited();
        for limit in CompileLimit::ALL {
            limits.amounts[*limit as usize] = limit.default_amount();
        }
        limits
    }
}

impl fmt::Debug for CompileLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("CompileLimits");
        for limit in CompileLimit::ALL {
            if let Some(amount) = self.get(*limit) {
                all.field(limit.name(), &format_args!("{}", limit.show(amount)));
            }
        }
        all.finish()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl CompileLimits {
    /// Sets no limits.
    pub const fn unlimited() -> Self {
        Self { amounts: [None; CompileLimit::ALL.len()] }
    }

    /// Limits the size of the module in bytes. Default: 128 MiB.
    #[must_use]
    pub fn module_size(self, bytes: u64) -> Self {
        self.with(CompileLimit::ModuleSize, Some(bytes))
    }

    /// Limits the number of functions that the module defines. Default: 1,000,000.
    #[must_use]
    pub fn functions(self, count: u64) -> Self {
        self.with(CompileLimit::Functions, Some(count))
    }

    /// Limits the size of one function's body in bytes. Default: 4 MiB.
    #[must_use]
    pub fn function_size(self, bytes: u64) -> Self {
        self.with(CompileLimit::FunctionSize, Some(bytes))
    }

    /// Limits the CPU time of all threads together; [`CompileLimits::cpu_per_mib`] is added to it. A function is not
    /// started if the estimate of its CPU time exceeds what is left. Default: 1 s.
    #[must_use]
    pub fn cpu(self, time: Duration) -> Self {
        self.with(CompileLimit::Cpu, Some(nanoseconds(time)))
    }

    /// Sets the CPU time that is added for each MiB of the module, if CPU time is limited: larger modules may take
    /// longer. Default: 4 s, at least ten times what typical code takes.
    #[must_use]
    pub fn cpu_per_mib(self, time: Duration) -> Self {
        self.with(CompileLimit::CpuPerMib, Some(nanoseconds(time)))
    }

    /// Limits the memory in bytes of the functions that are compiled at the same time, by the compiler's own estimate:
    /// it counts the instructions and values that a function becomes when written out. The module and its finished code
    /// are not counted. Default: 192 MiB.
    #[must_use]
    pub fn memory(self, bytes: u64) -> Self {
        self.with(CompileLimit::Memory, Some(bytes))
    }

    /// Limits the time from the start to the end. A compilation that has not finished by then is abandoned: functions
    /// that are being compiled at that moment finish in the background, and no others are started. Default: no limit.
    #[must_use]
    pub fn wall(self, time: Duration) -> Self {
        self.with(CompileLimit::Wall, Some(nanoseconds(time)))
    }

    /// Returns the amount that is allowed, in the limit's [`CompileLimit::unit`]; `None` means no limit.
    pub fn get(&self, limit: CompileLimit) -> Option<u64> {
        self.amounts[limit as usize]
    }

    /// Sets the amount that is allowed, in the limit's [`CompileLimit::unit`]; `None` means no limit.
    #[must_use]
    pub fn with(mut self, limit: CompileLimit, amount: Option<u64>) -> Self {
        self.amounts[limit as usize] = amount;
        self
    }

    /// Returns the CPU time that a module of this size may take.
    pub fn cpu_for(&self, module_bytes: u64) -> Option<Duration> {
        let per_mib = u128::from(self.get(CompileLimit::CpuPerMib).unwrap_or(0));
        let more = (per_mib * u128::from(module_bytes)) >> 20;
        let more = Duration::from_nanos(u64::try_from(more).unwrap_or(u64::MAX));
        Some(Duration::from_nanos(self.get(CompileLimit::Cpu)?).saturating_add(more))
    }

    /// Checks an amount against a limit.
    pub(crate) fn check(&self, limit: CompileLimit, wanted: u64) -> Result<(), CompileLimitExceeded> {
        match self.get(limit) {
            Some(allowed) if wanted > allowed => {
                Err(CompileLimitExceeded { limit, wanted: Some(wanted), allowed, function: None })
            }
            _ => Ok(()),
        }
    }
}

/// The cost of compiling a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FunctionCost {
    /// Its index in the module.
    pub index: FuncIndex,
    /// Bytes of its body.
    pub bytes: u64,
    /// Its size when written out: instructions, values, and operands of calls and branches.
    pub written_out: u64,
    /// CPU time that it took, or the least that it would take.
    pub cpu: Duration,
}

impl fmt::Display for FunctionCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, bytes, written_out, cpu } = self;
        write!(f, "function {} ({bytes} bytes", index.0)?;
        if *written_out > 0 {
            write!(f, ", {written_out} values and instructions when written out")?;
        }
        if !cpu.is_zero() {
            write!(f, ", {cpu:.1?} of CPU time")?;
        }
        f.write_str(")")
    }
}

/// The error of a compilation that exceeded a limit. It is part of the error of the operation that needed the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompileLimitExceeded {
    pub(crate) limit: CompileLimit,
    pub(crate) wanted: Option<u64>,
    pub(crate) allowed: u64,
    pub(crate) function: Option<FunctionCost>,
}

impl CompileLimitExceeded {
    /// Returns the limit.
    pub fn limit(&self) -> CompileLimit {
        self.limit
    }

    /// Returns the requested amount in [`CompileLimit::unit`]s, if it is known.
    pub fn wanted(&self) -> Option<u64> {
        self.wanted
    }

    /// Returns the allowed amount in [`CompileLimit::unit`]s. For CPU time it includes the allowance for the module's
    /// size.
    pub fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Returns the function that took most, or that did not fit.
    pub fn function(&self) -> Option<FunctionCost> {
        self.function
    }

    /// Describes what happened, without saying how to raise the limit.
    pub fn sentence(&self) -> String {
        let Self { limit, wanted, allowed, function } = self;
        let what = match limit {
            CompileLimit::ModuleSize => "the module has",
            CompileLimit::Functions => "the number of functions that the module defines is",
            CompileLimit::FunctionSize => "the largest body has",
            CompileLimit::Cpu | CompileLimit::CpuPerMib | CompileLimit::Wall => "compiling it takes",
            CompileLimit::Memory => "compiling it takes about",
        };
        let mut text = match wanted {
            Some(wanted) => {
                let [wanted, allowed] = limit.unit().show_all([*wanted, *allowed]);
                format!("{what} {wanted}, and the limit is {allowed}")
            }
            None => format!("{what} more than the limit of {}", limit.show(*allowed)),
        };
        match function {
            Some(function) if *limit == CompileLimit::Cpu => {
                text.push_str(&format!("; most of it goes to {function}"));
            }
            Some(function) => text.push_str(&format!("; it is {function}")),
            None => {}
        }
        text
    }
}

impl fmt::Display for CompileLimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (CompileLimits::{})", self.sentence(), self.limit.name())
    }
}

impl std::error::Error for CompileLimitExceeded {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_its_own() {
        for limit in CompileLimit::ALL {
            let limits = CompileLimits::unlimited().with(*limit, Some(7));
            for other in CompileLimit::ALL {
                assert_eq!(limits.get(*other).is_some(), other == limit);
            }
            assert_eq!(limits.check(*limit, 7), Ok(()));
            assert_eq!(limits.check(*limit, 8).unwrap_err().limit(), *limit);
        }
    }

    #[test]
    fn what_is_said_names_function_and_amounts() {
        let cost =
            FunctionCost { index: FuncIndex(3), bytes: 900, written_out: 400_000, cpu: Duration::ZERO };
        let exceeded = CompileLimitExceeded {
            limit: CompileLimit::Memory,
            wanted: Some(300 << 20),
            allowed: 192 << 20,
            function: Some(cost),
        };
        assert_eq!(
            exceeded.to_string(),
            "compiling it takes about 300 MiB, and the limit is 192 MiB; it is function 3 (900 bytes, 400000 values and \
             instructions when written out) (CompileLimits::memory)"
        );
        let cost = FunctionCost { cpu: Duration::from_millis(1250), ..cost };
        let exceeded = CompileLimitExceeded {
            limit: CompileLimit::Cpu,
            wanted: None,
            allowed: SECOND,
            function: Some(cost),
        };
        assert_eq!(
            exceeded.sentence(),
            "compiling it takes more than the limit of 1s; most of it goes to function 3 (900 bytes, 400000 values and \
             instructions when written out, 1.2s of CPU time)"
        );
    }
}
