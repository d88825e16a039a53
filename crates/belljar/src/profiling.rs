//! What profilers are told of code.

use crate::Result;
use crate::problems::Problems;
use belljar_abi::TrampolineKind;
use belljar_core::FuncType;
use belljar_vm::{LoadedModule, append_jit_dump, append_perf_map};
use belljar_watch::{functions, functions_with_lines, perf_map, trampoline};
use std::sync::Arc;

/// How a profiler gets to know the functions of guests: see [`crate::Config::profiler`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum ProfilingStrategy {
    /// Not at all.
    #[default]
    None,
    /// By the file `/tmp/perf-PID.map`, where `perf report` looks for the names of code that is in no file: a line for
    /// each function, added whenever a module's code is loaded. The file stays when the process ends, as that is when it is
    /// read.
    PerfMap,
    /// By the file `jit-PID.dump`, in the directory that the environment variable `JITDUMPDIR` names or in the current one. It
    /// holds the code itself and, of modules with debug information, files and lines, and knows what lay where at which time:
    /// `perf inject --jit` makes of it what `perf annotate` needs to show instructions. `perf record` needs the clock that its
    /// times are of: `-k mono`. Loading a module takes longer, as all its code and debug information is read. The
    /// file stays when the process ends.
    JitDump,
}

/// How a profiler is told of code, and who of what went wrong with that.
#[derive(Clone, Debug)]
pub(crate) struct ProfilerFeed {
    strategy: ProfilingStrategy,
    problems: Arc<Problems>,
}

impl ProfilerFeed {
    /// A feed of this kind.
    pub(crate) fn new(strategy: ProfilingStrategy, problems: Arc<Problems>) -> Self {
        Self { strategy, problems }
    }

    /// Tells it the functions of a module.
    pub(crate) fn tell_module(&self, loaded: &LoadedModule) {
        self.note(match self.strategy {
            ProfilingStrategy::None => Ok(()),
            ProfilingStrategy::PerfMap => append_perf_map(&perf_map(functions(loaded))),
            ProfilingStrategy::JitDump => dump(loaded),
        });
    }

    /// Tells it a trampoline.
    pub(crate) fn tell_trampoline(&self, kind: TrampolineKind, ty: &FuncType, address: usize, code: &[u8]) {
        let piece = || [trampoline(kind, ty, address, code)];
        self.note(match self.strategy {
            ProfilingStrategy::None => Ok(()),
            ProfilingStrategy::PerfMap => append_perf_map(&perf_map(piece())),
            ProfilingStrategy::JitDump => append_jit_dump(piece()),
        });
    }

    fn note(&self, told: Result<()>) {
        if let Err(error) = told {
            self.problems.warn(format!("perf was not told the names of functions: {error:#}"));
        }
    }
}

fn dump(loaded: &LoadedModule) -> Result<()> {
    let image = loaded.code_image();
    // Code that is not what was sealed is not what will run.
    image.load_part(image.text())?;
    append_jit_dump(functions_with_lines(loaded))
}
