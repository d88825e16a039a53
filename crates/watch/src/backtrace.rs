//! A guest's stack as people read it.

use crate::frame_info::{DebugInfoMismatch, FrameInfo};
use belljar_vm::RawStack;
use std::fmt;
use std::sync::Arc;

/// The wasm functions on a guest's stack, the innermost first, those that belljar inlined included.
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
    /// Names the frames of a recorded stack. Debug information is left for when it is asked for.
    pub fn new(stack: &RawStack) -> Self {
        let (frames, rest) = stack.frames().split_at(stack.frames().len().min(RawStack::FRAMES_KEPT));
        // A core dump's stack is longer; frames next to each other are mostly alike.
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

    /// A backtrace of these frames, and of some that were not kept.
    pub fn of_frames(frames: Vec<FrameInfo>, omitted: usize) -> Self {
        Self { frames, omitted, is_counted: true }
    }

    /// The frames, innermost first.
    pub fn frames(&self) -> &[FrameInfo] {
        &self.frames
    }

    /// The first of the frames whose debug information was made for other code, and what it says: why lines are missing.
    pub fn debug_info_mismatch(&self) -> Option<DebugInfoMismatch<'_>> {
        self.frames.iter().find_map(FrameInfo::debug_info_mismatch)
    }

    /// How many more functions a deep stack has, those that belljar inlined included: outer frames that were not kept. Frames
    /// beyond the first 131,072 are not counted.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Whether [`WasmBacktrace::omitted`] is all of them, and not only those that were counted.
    pub fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// The last line of a printed backtrace, with a line break before it, if frames are missing: those that were not kept, and
    /// `hidden` ones that were not printed.
    pub fn last_line(&self, hidden: usize) -> String {
        match (self.omitted + hidden, self.is_counted) {
            (0, true) => String::new(),
            (1, true) => "\n  … 1 more frame".into(),
            (n, true) => format!("\n  … {n} more frames"),
            (n, false) => format!("\n  … over {n} more frames"),
        }
    }
}

/// No frames.
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
