//! What profilers are told of code.

use crate::{Engine, Result};
use belljar_module::Module;
use belljar_vm::{CodeImage, LoadedModule, append_perf_map};
use belljar_watch::perf_map;
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
}

/// Brings a module together with its code, and tells the profiler. `reserved`: as [`LoadedModule::new`] has it.
pub(crate) fn load(
    engine: &Engine,
    module: Arc<Module>,
    image: Arc<CodeImage>,
    reserved: bool,
) -> Result<Arc<LoadedModule>> {
    let loaded = LoadedModule::new(engine.runtime(), module, image, reserved)?;
    if engine.config().profiler == ProfilingStrategy::PerfMap
        && let Err(error) = append_perf_map(&perf_map(&loaded))
    {
        engine.note(format!("perf was not told the names of functions: {error:#}"));
    }
    Ok(loaded)
}
