//! `--perf`: how perf is told the names of guest functions.

use belljar::{Config, ProfilingStrategy};
use clap::ValueEnum;

/// A way to tell perf.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Perf {
    /// The file /tmp/perf-PID.map, which `perf report` reads
    Map,
    /// The file jit-PID.dump, which `perf inject --jit` reads: code and lines as well
    Jitdump,
}

impl Perf {
    /// Asks for it.
    pub(crate) fn apply(self, config: &mut Config) {
        config.profiler(match self {
            Self::Map => ProfilingStrategy::PerfMap,
            Self::Jitdump => ProfilingStrategy::JitDump,
        });
    }
}
