//! `--perf`: reports the names of guest functions to perf.

use belljar::{Config, ProfilingStrategy};
use clap::ValueEnum;

/// How to report names to perf.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Perf {
    /// Write /tmp/perf-PID.map, which `perf report` reads
    Map,
    /// Write jit-PID.dump, which `perf inject --jit` reads: includes code and lines
    Jitdump,
}

impl Perf {
    /// Applies the choice to a configuration.
    pub(crate) fn apply(self, config: &mut Config) {
        config.profiler(match self {
            Self::Map => ProfilingStrategy::PerfMap,
            Self::Jitdump => ProfilingStrategy::JitDump,
        });
    }
}
