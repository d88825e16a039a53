//! What errors show.

use super::Config;
use super::choices::WasmBacktraceDetails;
use super::options::BACKTRACE_FRAMES;
use std::num::NonZeroUsize;

/// What errors show.
impl Config {
    /// Sets the most functions that a [`crate::WasmBacktrace`] shows. `None` turns backtraces off: the error of a run that
    /// did not return then has none. The others are counted by [`crate::WasmBacktrace::omitted`]. A backtrace never has
    /// more than the functions of 256 frames, which are more where functions were inlined. Default: all of these.
    pub fn wasm_backtrace_max_frames(&mut self, limit: Option<NonZeroUsize>) -> &mut Self {
        self.errors.frames = limit;
        self
    }

    /// Sets whether errors have a [`crate::WasmBacktrace`]. [`Config::wasm_backtrace_max_frames`] does the same; `true`
    /// keeps its limit if there is one. Default: yes.
    pub fn wasm_backtrace(&mut self, enable: bool) -> &mut Self {
        self.errors.frames = enable.then(|| self.errors.frames.unwrap_or(BACKTRACE_FRAMES));
        self
    }

    /// Sets whether backtraces show source files and lines. Default: [`WasmBacktraceDetails::Enable`].
    pub fn wasm_backtrace_details(&mut self, enable: WasmBacktraceDetails) -> &mut Self {
        self.errors.lines = match enable {
            WasmBacktraceDetails::Enable => true,
            WasmBacktraceDetails::Disable => false,
            WasmBacktraceDetails::Environment => {
                std::env::var_os("WASMTIME_BACKTRACE_DETAILS").is_some_and(|value| value == "1")
            }
        };
        self
    }

    /// Sets whether the error of a run that did not return holds a [`crate::WasmCoreDump`]: after a trap, an error of a
    /// host function or an uncaught exception. The setting changes neither the code nor the cost of a run that returns.
    /// Default: no.
    pub fn coredump_on_trap(&mut self, enable: bool) -> &mut Self {
        self.errors.core_dump = enable;
        self
    }
}
