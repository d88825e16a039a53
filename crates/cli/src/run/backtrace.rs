//! Prints a guest's stack: as the engine does, or with recursion folded and the number of lines limited, so that the
//! essential part stays visible.

use belljar::{FrameInfo, WasmBacktrace};
use clap::ValueEnum;
use std::fmt;
use std::sync::Arc;

/// The most lines of frames to print; repetitions of the same frame count as one.
const MAX_LINES: usize = 40;

/// How much of a stack is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Backtrace {
    /// Every frame that the engine recorded
    Full,
    /// Fold repeated calls from the same place, and print at most 40 lines of frames
    Short,
    /// No backtrace
    Off,
}

impl Backtrace {
    /// Returns the text that follows an error message: a line break and a stack, or nothing.
    pub(super) fn of(self, stack: &WasmBacktrace) -> String {
        match self {
            Self::Full => format!("\n{stack}"),
            Self::Short => format!("\n{}", FoldedBacktrace(stack)),
            Self::Off => String::new(),
        }
    }
}

/// Prints a folded backtrace of limited length, without a final line end.
struct FoldedBacktrace<'a>(&'a WasmBacktrace);

impl fmt::Display for FoldedBacktrace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wasm backtrace:")?;
        let frames = self.0.frames();
        let (mut at, mut mismatch) = (0, None);
        for _ in 0..MAX_LINES {
            let Some(frame) = frames.get(at) else { break };
            mismatch = mismatch.or_else(|| frame.debug_info_mismatch());
            write!(f, "\n  {at:>3}: {frame}")?;
            let run = frames[at..].iter().take_while(|other| is_same(frame, other)).count();
            if run > 2 {
                write!(f, "\n       … and {} times the same", run - 1)?;
                at += run;
            } else {
                at += 1;
            }
        }
        f.write_str(&self.0.last_line(frames.len() - at))?;
        mismatch.map_or(Ok(()), |mismatch| write!(f, "\nnote: {mismatch}"))
    }
}

/// Returns whether both frames are at the same instruction of the same module.
fn is_same(a: &FrameInfo, b: &FrameInfo) -> bool {
    Arc::ptr_eq(a.wasm_module(), b.wasm_module())
        && a.func_index() == b.func_index()
        && a.module_offset() == b.module_offset()
}
