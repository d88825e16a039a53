//! `--limits`, and the options that set one of the same limits.
//!
//! In: `KEY=VALUE` pairs, separated by commas. Out: [`Limits`], and reports of limits that were reached. A report
//! always names a limit by the option that set it.

use super::guest::Guest;
use super::options::RunOptions;
use crate::failure::Failure;
use crate::limit_list::{self, Key, last_amount};
use crate::output::complain;
use crate::time_span::TimeSpan;
use belljar::{CompileLimit, CompileLimits, Limit, LimitExceeded, Limits, Store};
use belljar_wasi::WasiCtx;
use std::time::Duration;

impl RunOptions {
    /// Prints the keys of `--limits` if they were asked for.
    ///
    /// # Errors
    ///
    /// Returns an error if they cannot be printed.
    pub(super) fn print_limit_keys(&self) -> Result<bool, Failure> {
        limit_list::print_keys(&self.limits)
    }

    /// Returns the dedicated option of a limit and its value, if it was given.
    fn own_option(&self, limit: Limit) -> Option<(&'static str, u64)> {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        match limit {
            Limit::Memory => Some(("--max-memory", self.max_memory?.0)),
            Limit::Stack => Some(("--max-stack", self.max_stack?.0)),
            Limit::Fuel => Some(("--fuel", self.fuel?)),
            Limit::Wall => Some(("--timeout", nanoseconds(self.timeout?.0))),
            Limit::Cpu => Some(("--cpu-timeout", nanoseconds(self.cpu_timeout?.0))),
            _ => None,
        }
    }

    /// Returns the value of a limit. Dedicated options take precedence over `--limits`, and later keys over earlier
    /// ones.
    pub(super) fn limit(&self, limit: Limit) -> Option<u64> {
        match self.own_option(limit) {
            Some((_, amount)) => Some(amount),
            None => last_amount(&self.limits, Key::Run(limit)),
        }
    }

    /// Returns the value of a time limit.
    pub(super) fn time_limit(&self, limit: Limit) -> Option<TimeSpan> {
        self.limit(limit).map(|nanoseconds| TimeSpan(Duration::from_nanos(nanoseconds)))
    }

    /// Returns the option that sets a limit: `--max-memory`, or `--limits memory`.
    pub(super) fn option_of(&self, limit: Limit) -> String {
        self.own_option(limit)
            .map_or_else(|| format!("--limits {}", Key::Run(limit)), |(option, _)| option.into())
    }

    /// Returns the limits that the stores enforce together. Other components enforce the other limits.
    pub(super) fn store_limits(&self) -> Limits {
        let of_stores = [
            Limit::TableElements,
            Limit::GcHeap,
            Limit::Instances,
            Limit::Tables,
            Limit::Memories,
            Limit::Scratch,
        ];
        of_stores.iter().fold(Limits::unlimited(), |limits, limit| limits.with(*limit, self.limit(*limit)))
    }

    /// Returns the limits of compilation. `--timeout` applies to the compilation and, separately, to the run.
    pub(super) fn compile_limits(&self) -> CompileLimits {
        let limits = limit_list::compile_limits(&self.limits);
        match (limits.get(CompileLimit::Wall), self.own_option(Limit::Wall)) {
            (None, Some((_, time))) => limits.with(CompileLimit::Wall, Some(time)),
            _ => limits,
        }
    }

    /// Returns the option that sets a limit of compilation.
    fn option_of_compile(&self, limit: CompileLimit) -> String {
        match (last_amount(&self.limits, Key::Compile(limit)), self.own_option(Limit::Wall)) {
            (None, Some((option, _))) if limit == CompileLimit::Wall => option.into(),
            _ => limit_list::option_of_compile(limit),
        }
    }

    /// Phrases the failure of a compilation that exceeded a limit in terms of the command line.
    pub(super) fn explain_limit(&self, failure: Failure) -> Failure {
        limit_list::explain(failure, self.file(), |limit| self.option_of_compile(limit))
    }

    /// Returns the limits that WASI enforces.
    pub(super) fn wasi_limits(&self) -> Limits {
        let of_wasi = [Limit::Descriptors, Limit::BytesRead, Limit::BytesWritten];
        of_wasi.iter().fold(Limits::unlimited(), |limits, limit| limits.with(*limit, self.limit(*limit)))
    }
}

/// Describes a limit that was reached in terms of the command line.
pub(super) fn describe(exceeded: &LimitExceeded) -> String {
    let (name, key) = (exceeded.limit().name(), Key::Run(exceeded.limit()).to_string());
    format!("{} (--limits {key}=…)", exceeded.sentence().replacen(name, &key, 1))
}

/// Describes a growth that was refused with −1, which may be why the guest failed.
pub(super) fn refused_growth(store: &Store<Guest>) -> Option<String> {
    store.refused_growth()?.downcast_ref().map(describe)
}

/// Reports the limits that WASI enforced. The guest may have ignored the errors, so its results may be incomplete.
pub(super) fn report_wasi_limits(wasi: &WasiCtx) {
    for exceeded in wasi.limits_exceeded() {
        complain(&format!("note: {}", describe(&exceeded)));
    }
}
