//! What a compilation may take, by name.
//!
//! In: the embedder's numbers. Out: a yes, or an error that says which limit it was, what was wanted and by which function. Never:
//! an effect on the code that is made.

use belljar_core::{FuncIndex, define_limits};
use std::fmt;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

// The largest programs known (pandoc, Swift's compiler: 60 MB, 620,000 functions) fit; usual code takes 0.1 to 0.4 s a MiB.
define_limits! {
    /// What can be limited of a compilation. Each has a method of the same name in [`CompileLimits`].
    pub enum CompileLimit {
    ModuleSize "module_size" Bytes Some(128 << 20), "Bytes of the module";
    Functions "functions" Count Some(1_000_000), "Functions that the module defines";
    FunctionSize "function_size" Bytes Some(4 << 20), "Bytes of one function's body";
    Cpu "cpu" Time Some(SECOND), "CPU time of all threads, beside what the module's size allows";
    CpuPerMib "cpu_per_mib" Time Some(4 * SECOND), "CPU time for each MiB of the module, where that is limited";
    Memory "memory" Bytes Some(192 << 20), "Memory of the functions that are compiled at once";
    Wall "wall" Time None, "Time from the beginning of the compilation to its end";
    }
}

/// What the compilation of a module may take: [`Config::compile_limits`] and `CodeBuilder::limits` of the crate `belljar`.
///
/// [`CompileLimits::default`] is for code that nobody vouches for, [`CompileLimits::unlimited`] limits nothing. A module whose code
/// is in the cache or in an artifact is not compiled, and so not limited by this.
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
    /// For code that nobody vouches for.
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
    /// Nothing is limited.
    pub const fn unlimited() -> Self {
        Self { amounts: [None; CompileLimit::ALL.len()] }
    }

    /// Bytes of the module. Default: 128 MiB.
    #[must_use]
    pub fn module_size(self, bytes: u64) -> Self {
        self.with(CompileLimit::ModuleSize, Some(bytes))
    }

    /// Functions that the module defines. Default: 1,000,000.
    #[must_use]
    pub fn functions(self, count: u64) -> Self {
        self.with(CompileLimit::Functions, Some(count))
    }

    /// Bytes of one function's body. Default: 4 MiB.
    #[must_use]
    pub fn function_size(self, bytes: u64) -> Self {
        self.with(CompileLimit::FunctionSize, Some(bytes))
    }

    /// CPU time of all threads together, and [`CompileLimits::cpu_per_mib`] on top of it. A function that would take longer than what
    /// is left, as far as can be foreseen, is not begun. Default: 1 s.
    #[must_use]
    pub fn cpu(self, time: Duration) -> Self {
        self.with(CompileLimit::Cpu, Some(nanoseconds(time)))
    }

    /// CPU time for each MiB of the module, where CPU time is limited: what is compiled may take the longer the more it is. Default:
    /// 4 s, ten times and more what usual code takes.
    #[must_use]
    pub fn cpu_per_mib(self, time: Duration) -> Self {
        self.with(CompileLimit::CpuPerMib, Some(nanoseconds(time)))
    }

    /// Bytes of memory for the functions that are compiled at once, by the compiler's own account: what it counts is what a function
    /// becomes when it is written out, its values and instructions. The module and its finished code are not among them; they are as
    /// large as they are. Default: 192 MiB.
    #[must_use]
    pub fn memory(self, bytes: u64) -> Self {
        self.with(CompileLimit::Memory, Some(bytes))
    }

    /// Time from the beginning to the end. What has not ended by then is given up; the functions that are being compiled at that moment
    /// are finished in the background, and no others are begun. Default: no limit.
    #[must_use]
    pub fn wall(self, time: Duration) -> Self {
        self.with(CompileLimit::Wall, Some(nanoseconds(time)))
    }

    /// How much of something there may be, in its [`CompileLimit::unit`]; `None`: any.
    pub fn get(&self, limit: CompileLimit) -> Option<u64> {
        self.amounts[limit as usize]
    }

    /// Says how much of something there may be, in its [`CompileLimit::unit`]; `None`: any.
    #[must_use]
    pub fn with(mut self, limit: CompileLimit, amount: Option<u64>) -> Self {
        self.amounts[limit as usize] = amount;
        self
    }

    /// How much CPU time a module of a size may take.
    pub fn cpu_for(&self, module_bytes: u64) -> Option<Duration> {
        let per_mib = u128::from(self.get(CompileLimit::CpuPerMib).unwrap_or(0));
        let more = (per_mib * u128::from(module_bytes)) >> 20;
        let more = Duration::from_nanos(u64::try_from(more).unwrap_or(u64::MAX));
        Some(Duration::from_nanos(self.get(CompileLimit::Cpu)?).saturating_add(more))
    }

    /// Whether `wanted` is more of something than there may be.
    pub(crate) fn check(&self, limit: CompileLimit, wanted: u64) -> Result<(), CompileLimitExceeded> {
        match self.get(limit) {
            Some(allowed) if wanted > allowed => {
                Err(CompileLimitExceeded { limit, wanted: Some(wanted), allowed, function: None })
            }
            _ => Ok(()),
        }
    }
}

/// What a function takes to compile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FunctionCost {
    /// Its index in the module.
    pub index: FuncIndex,
    /// Bytes of its body.
    pub bytes: u64,
    /// What it is when it is written out: instructions, values, and operands of calls and branches.
    pub written_out: u64,
    /// CPU time that it took, or would take at least.
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

/// A compilation wanted more than its limit. In the error of whatever wanted the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompileLimitExceeded {
    pub(crate) limit: CompileLimit,
    pub(crate) wanted: Option<u64>,
    pub(crate) allowed: u64,
    pub(crate) function: Option<FunctionCost>,
}

impl CompileLimitExceeded {
    /// Which limit it was.
    pub fn limit(&self) -> CompileLimit {
        self.limit
    }

    /// How much was wanted, in [`CompileLimit::unit`]s, where that is known.
    pub fn wanted(&self) -> Option<u64> {
        self.wanted
    }

    /// How much there may be, in [`CompileLimit::unit`]s: of CPU time, what the module's size allows included.
    pub fn allowed(&self) -> u64 {
        self.allowed
    }

    /// The function that took most, or that did not fit.
    pub fn function(&self) -> Option<FunctionCost> {
        self.function
    }

    /// What happened, in a sentence that does not say how to raise the limit.
    pub fn sentence(&self) -> String {
        let Self { limit, wanted, allowed, function } = self;
        let allowed = limit.show(*allowed);
        let what = match limit {
            CompileLimit::ModuleSize => "the module has",
            CompileLimit::Functions => "the number of functions that the module defines is",
            CompileLimit::FunctionSize => "the largest body has",
            CompileLimit::Cpu | CompileLimit::CpuPerMib | CompileLimit::Wall => "compiling it takes",
            CompileLimit::Memory => "compiling it takes about",
        };
        let mut text = match wanted {
            Some(wanted) => format!("{what} {}, and the limit is {allowed}", limit.show(*wanted)),
            None => format!("{what} more than the limit of {allowed}"),
        };
        match function {
            Some(function) if *limit == CompileLimit::Cpu => {
                text.push_str(&format!("; the most of it goes to {function}"));
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
            "compiling it takes more than the limit of 1s; the most of it goes to function 3 (900 bytes, 400000 values and \
             instructions when written out, 1.2s of CPU time)"
        );
    }
}
