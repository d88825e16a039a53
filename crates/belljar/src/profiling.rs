//! Reporting code to profilers.

use crate::Result;
use crate::problems::Problems;
use belljar_abi::TrampolineKind;
use belljar_core::FuncType;
use belljar_vm::{LoadedModule, append_jit_dump, append_perf_map};
use belljar_watch::{functions, functions_with_lines, perf_map, trampoline};
use std::sync::Arc;

/// How guest functions are reported to a profiler: see [`crate::Config::profiler`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum ProfilingStrategy {
    /// Not at all.
    #[default]
    None,
    /// With the file `/tmp/perf-PID.map`, where `perf report` looks for the names of code that is in no file. It has a
    /// line for each function, which is appended when a module's code is loaded. The file remains when the process
    /// ends, because it is read afterwards.
    PerfMap,
    /// With the file `jit-PID.dump`, in the directory that the environment variable `JITDUMPDIR` names or else in the
    /// current directory. It holds the code itself, what was at each address at which time, and, for modules with debug
    /// information, files and lines. `perf inject --jit` converts it for `perf annotate`, which shows instructions.
    /// `perf record` must use the clock of its timestamps: `-k mono`. Loading a module takes longer, because all its
    /// code and debug information is read. The file remains when the process ends.
    JitDump,
}

/// Reports code to a profiler, and problems with that to the engine's warnings.
#[derive(Clone, Debug)]
pub(crate) struct ProfilerFeed {
    strategy: ProfilingStrategy,
    problems: Arc<Problems>,
}

impl ProfilerFeed {
    /// Creates a feed of this kind.
    pub(crate) fn new(strategy: ProfilingStrategy, problems: Arc<Problems>) -> Self {
        Self { strategy, problems }
    }

    /// Reports the functions of a module.
    pub(crate) fn tell_module(&self, loaded: &LoadedModule) {
        self.report_failure(match self.strategy {
            ProfilingStrategy::None => Ok(()),
            ProfilingStrategy::PerfMap => append_perf_map(&perf_map(functions(loaded))),
            ProfilingStrategy::JitDump => dump(loaded),
        });
    }

    /// Reports a trampoline.
    pub(crate) fn tell_trampoline(&self, kind: TrampolineKind, ty: &FuncType, address: usize, code: &[u8]) {
        let piece = || [trampoline(kind, ty, address, code)];
        self.report_failure(match self.strategy {
            ProfilingStrategy::None => Ok(()),
            ProfilingStrategy::PerfMap => append_perf_map(&perf_map(piece())),
            ProfilingStrategy::JitDump => append_jit_dump(piece()),
        });
    }

    fn report_failure(&self, result: Result<()>) {
        if let Err(error) = result {
            self.problems.warn(format!("could not report function names to perf: {error:#}"));
        }
    }
}

fn dump(loaded: &LoadedModule) -> Result<()> {
    let image = loaded.code_image();
    // Checks the code against its seal: damaged code will not run.
    image.load_part(image.text())?;
    append_jit_dump(functions_with_lines(loaded))
}
