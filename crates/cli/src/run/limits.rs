//! `--limits`: what the guest may have, by name; and the options that say the same of one thing.
//!
//! In: `KEY=VALUE` with commas between. Out: [`Limits`], and what is told of those that were reached. Never: a limit that is told by
//! another name than the one that it was given by.

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
    /// Prints the keys of `--limits`, if that is what is wanted.
    ///
    /// # Errors
    ///
    /// Where they cannot be printed.
    pub(super) fn print_limit_keys(&self) -> Result<bool, Failure> {
        limit_list::print_keys(&self.limits)
    }

    /// What an option of its own says about something.
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

    /// How much of something there may be. Options of its own go before `--limits`, later ones of that before earlier ones.
    pub(super) fn limit(&self, limit: Limit) -> Option<u64> {
        match self.own_option(limit) {
            Some((_, amount)) => Some(amount),
            None => last_amount(&self.limits, Key::Run(limit)),
        }
    }

    /// A limit of time.
    pub(super) fn time_limit(&self, limit: Limit) -> Option<TimeSpan> {
        self.limit(limit).map(|nanoseconds| TimeSpan(Duration::from_nanos(nanoseconds)))
    }

    /// By which option something is limited: `--max-memory`, or `--limits memory`.
    pub(super) fn option_of(&self, limit: Limit) -> String {
        self.own_option(limit)
            .map_or_else(|| format!("--limits {}", Key::Run(limit)), |(option, _)| option.into())
    }

    /// What the stores of the program keep to, all of them together but for what host functions borrow. The rest is of other parts.
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

    /// What compiling the program may take. The time for the run holds for this, too, each by itself.
    pub(super) fn compile_limits(&self) -> CompileLimits {
        let limits = limit_list::compile_limits(&self.limits);
        match (limits.get(CompileLimit::Wall), self.own_option(Limit::Wall)) {
            (None, Some((_, time))) => limits.with(CompileLimit::Wall, Some(time)),
            _ => limits,
        }
    }

    /// By which option something of a compilation is limited.
    fn option_of_compile(&self, limit: CompileLimit) -> String {
        match (last_amount(&self.limits, Key::Compile(limit)), self.own_option(Limit::Wall)) {
            (None, Some((option, _))) if limit == CompileLimit::Wall => option.into(),
            _ => limit_list::option_of_compile(limit),
        }
    }

    /// A compilation that was ended for a limit, as the command line has it.
    pub(super) fn explain_limit(&self, failure: Failure) -> Failure {
        limit_list::explain(failure, self.file(), |limit| self.option_of_compile(limit))
    }

    /// What WASI keeps to.
    pub(super) fn wasi_limits(&self) -> Limits {
        let of_wasi = [Limit::Descriptors, Limit::BytesRead, Limit::BytesWritten];
        of_wasi.iter().fold(Limits::unlimited(), |limits, limit| limits.with(*limit, self.limit(*limit)))
    }
}

/// A limit that was reached, as the command line has it.
pub(super) fn describe(exceeded: &LimitExceeded) -> String {
    let (name, key) = (exceeded.limit().name(), Key::Run(exceeded.limit()).to_string());
    format!("{} (--limits {key}=…)", exceeded.sentence().replacen(name, &key, 1))
}

/// What the guest was told with −1, and perhaps failed for.
pub(super) fn refused_growth(store: &Store<Guest>) -> Option<String> {
    store.refused_growth()?.downcast_ref().map(describe)
}

/// Tells what WASI refused the guest: whatever it made of that, what it did is not all that it wanted to do.
pub(super) fn report_wasi_limits(wasi: &WasiCtx) {
    for exceeded in wasi.limits_exceeded() {
        complain(&format!("note: {}", describe(&exceeded)));
    }
}
