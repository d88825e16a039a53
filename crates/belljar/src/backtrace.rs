//! The wasm functions on a guest's stack.

use crate::{AsContext, DebugInfoMismatch, FrameInfo};
use belljar_vm::RawStack;
use std::fmt;
use std::sync::Arc;

/// The wasm functions on a guest's stack, innermost first, including those that belljar inlined.
///
/// Printed, it looks like this:
///
/// ```text
/// wasm backtrace:
///     0: 0x1a3f - mymod!core::panicking::panic
///                     at src/lib.rs:10:5
///     1: 0x0071 - mymod!<wasm function 3>
/// ```
#[derive(Clone, Debug)]
pub struct WasmBacktrace {
    frames: Vec<FrameInfo>,
    omitted: usize,
    is_counted: bool,
}

impl WasmBacktrace {
    /// Captures the stack of the guest that waits for the calling host function: the functions of all runs of the store
    /// that wait for it. Without such a guest, it has no frames. Another thread uses
    /// [`Inspector::capture`](crate::Inspector::capture).
    ///
    /// ```
    /// use belljar::{Caller, Engine, Linker, Module, Store, WasmBacktrace};
    /// let engine = Engine::default();
    /// let mut linker = Linker::new(&engine);
    /// linker.func_wrap("host", "where", |mut caller: Caller<'_, String>| {
    ///     *caller.data_mut() = WasmBacktrace::capture(&caller).frames()[0].func_name().unwrap().to_string();
    /// })?;
    /// let module = Module::new(
    ///     &engine,
    ///     r#"(module (import "host" "where" (func $where)) (func $here (export "run") (call $where)))"#,
    /// )?;
    /// let mut store = Store::new(&engine, String::new());
    /// linker.instantiate(&mut store, &module)?.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())?;
    /// assert_eq!(store.data(), "here");
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn capture(store: impl AsContext) -> Self {
        Self::new(&store.as_context().0.core().guest_stack())
    }

    /// Captures the stack as [`WasmBacktrace::capture`] does: no setting turns that off.
    pub fn force_capture(store: impl AsContext) -> Self {
        Self::capture(store)
    }

    /// Names the frames of a recorded stack. Debug information is read only when it is needed.
    pub(crate) fn new(stack: &RawStack) -> Self {
        let (frames, rest) = stack.frames().split_at(stack.frames().len().min(RawStack::FRAMES_KEPT));
        // A core dump's stack is longer; neighbouring frames are mostly the same.
        let alike = rest.chunk_by(|a, b| Arc::ptr_eq(a.code(), b.code()) && a.offset() == b.offset());
        let functions: usize = alike.map(|frames| frames.len() * frames[0].function_count()).sum();
        let omitted = stack.omitted() + functions;
        let mut backtrace = Self { frames: Vec::new(), omitted, is_counted: stack.is_counted() };
        for frame in frames {
            match FrameInfo::of_frame(frame) {
                Some(functions) => backtrace.frames.extend(functions),
                None => backtrace.omitted += 1,
            }
        }
        backtrace
    }

    /// Creates a backtrace of these frames, plus a number of omitted ones.
    #[doc(hidden)]
    pub fn of_frames(frames: Vec<FrameInfo>, omitted: usize) -> Self {
        Self { frames, omitted, is_counted: true }
    }

    /// Returns the backtrace with at most this many frames; the others count as omitted. Without `details`, its frames have
    /// no symbols from the modules' debug information.
    #[must_use]
    pub(crate) fn limited(mut self, frames: usize, details: bool) -> Self {
        self.omitted += self.frames.len().saturating_sub(frames);
        self.frames.truncate(frames);
        if !details {
            self.frames.iter_mut().for_each(FrameInfo::hide_symbols);
        }
        self
    }

    /// Returns the frames, innermost first.
    pub fn frames(&self) -> &[FrameInfo] {
        &self.frames
    }

    /// Returns the mismatch of the first frame whose debug information belongs to other code, which explains why lines
    /// are missing.
    pub fn debug_info_mismatch(&self) -> Option<DebugInfoMismatch<'_>> {
        self.frames.iter().find_map(FrameInfo::debug_info_mismatch)
    }

    /// Returns how many more functions a deep stack has, including those that belljar inlined: outer frames that were
    /// not kept. Frames beyond the first 131,072 are not counted.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Returns whether [`WasmBacktrace::omitted`] counts all omitted functions.
    pub fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// Returns the last line of a printed backtrace, preceded by a line break, if frames are missing: those that were
    /// not kept, and `hidden` ones that were not printed.
    pub fn last_line(&self, hidden: usize) -> String {
        match (self.omitted + hidden, self.is_counted) {
            (0, true) => String::new(),
            (1, true) => "\n  … 1 more frame".into(),
            (n, true) => format!("\n  … {n} more frames"),
            (n, false) => format!("\n  … over {n} more frames"),
        }
    }
}

/// Creates a backtrace without frames.
impl Default for WasmBacktrace {
    fn default() -> Self {
        Self::of_frames(Vec::new(), 0)
    }
}

impl fmt::Display for WasmBacktrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wasm backtrace:")?;
        for (i, frame) in self.frames.iter().enumerate() {
            write!(f, "\n  {i:>3}: {frame}")?;
        }
        f.write_str(&self.last_line(0))?;
        self.debug_info_mismatch().map_or(Ok(()), |mismatch| write!(f, "\nnote: {mismatch}"))
    }
}
