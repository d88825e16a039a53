//! Stacks of guests as they are kept: each frame with the code that it is in.
//!
//! In: addresses, as walks find them. Out: [`RawStack`] and [`LiveStack`]. Never: a look at a stack itself.

use crate::code_table::{self, CodeChunk};
use crate::host_func::HostCallee;
use crate::machine::{StackEntry, StackWord};
use belljar_core::{CodeOffset, DefinedFuncIndex};
use std::any::Any;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A frame of guest code.
#[derive(Clone, Debug)]
pub struct RawFrame {
    code: Arc<CodeChunk>,
    /// An offset inside the instruction that the frame is at: of the call, for all but the innermost.
    offset: CodeOffset,
}

impl RawFrame {
    /// The frame of the function that has the instruction at this address; `None` where there is no function.
    pub(crate) fn at(address: usize) -> Option<Self> {
        let (code, offset) = code_table::code_at(address)?;
        code.func_at(offset)?;
        Some(Self { code, offset })
    }

    /// The module's tables.
    pub fn code(&self) -> &Arc<CodeChunk> {
        &self.code
    }

    /// The function that the code is of.
    pub fn func(&self) -> Option<DefinedFuncIndex> {
        self.code.func_at(self.offset)
    }

    /// Where in its text the frame is.
    pub fn offset(&self) -> CodeOffset {
        self.offset
    }

    /// How many functions of the specification's stack it stands for: those that were inlined count.
    pub fn function_count(&self) -> usize {
        self.code.tables().positions_at(self.offset).len().max(1)
    }

    /// The [`crate::LoadedModule`] that the code belongs to, if it is still loaded.
    pub fn module(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.code.owner()
    }
}

/// A call of the host by a guest that is on a stack.
#[derive(Clone, Debug)]
pub struct HostCall {
    /// Which of [`LiveStack::frames`] called.
    pub by: usize,
    /// What it called.
    pub callee: HostCallee,
}

/// A recorded stack, innermost frame first.
#[derive(Clone, Debug)]
pub struct RawStack {
    frames: Vec<RawFrame>,
    omitted: u32,
    is_counted: bool,
}

impl Default for RawStack {
    fn default() -> Self {
        Self { frames: Vec::new(), omitted: 0, is_counted: true }
    }
}

impl RawStack {
    /// Frames that a recorded stack keeps, and a backtrace shows. A runaway recursion has tens of thousands, all alike.
    pub const FRAMES_KEPT: usize = 256;

    /// Frames of a stack that are counted. Counting takes up to 10 ns a frame, and whoever kills a guest with a gigabyte of stack
    /// is not to wait for that.
    pub const FRAMES_COUNTED: usize = 1 << 17;

    /// The innermost frames.
    pub fn frames(&self) -> &[RawFrame] {
        &self.frames
    }

    /// How many functions the outer frames stand for that were not kept; of a stack that was looked at from outside, how many
    /// frames these are.
    pub fn omitted(&self) -> usize {
        self.omitted as usize
    }

    /// Whether that is all of them: `false` for a stack of more than [`Self::FRAMES_COUNTED`] frames, of which no more are counted.
    pub fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// Records the stack that `walk` visits, innermost frame first. `kept`: the most frames to keep. `is_exact`: the first address is
    /// that of an instruction; all others, and otherwise the first as well, are return addresses.
    pub(crate) fn record(
        kept: usize,
        is_exact: bool,
        walk: impl FnOnce(&mut dyn FnMut(usize) -> ControlFlow<()>),
    ) -> Self {
        let mut stack = Self::default();
        let mut is_exact = is_exact;
        let mut others = FunctionCounts::default();
        let mut left = Self::FRAMES_COUNTED;
        walk(&mut |pc| {
            if left == 0 {
                stack.is_counted = false;
                return ControlFlow::Break(());
            }
            left -= 1;
            // A return address may lie past the end of its function: look up the byte before it.
            let at = if is_exact { pc } else { pc - 1 };
            is_exact = false;
            if stack.frames.len() >= kept {
                stack.omitted = stack.omitted.saturating_add(others.at(at) as u32);
            } else if let Some(frame) = RawFrame::at(at) {
                stack.frames.push(frame);
            }
            ControlFlow::Continue(())
        });
        stack
    }
}

/// How many functions frames at an address stand for. A deep stack has many frames at few addresses.
#[derive(Default)]
struct FunctionCounts {
    known: HashMap<usize, usize>,
    last: Option<(usize, usize)>,
}

impl FunctionCounts {
    fn at(&mut self, address: usize) -> usize {
        if let Some((_, count)) = self.last.filter(|(last, _)| *last == address) {
            return count;
        }
        let count_now = || RawFrame::at(address).map_or(0, |frame| frame.function_count());
        let count = *self.known.entry(address).or_insert_with(count_now);
        self.last = Some((address, count));
        count
    }
}

/// The stack of a guest that was running, innermost frame first.
#[derive(Clone, Debug, Default)]
pub struct LiveStack {
    stack: RawStack,
    host_calls: Vec<HostCall>,
}

impl LiveStack {
    /// A stack on which this was found, and some more that was not kept. `frame` makes a frame of an address.
    ///
    /// # Safety
    ///
    /// The stores are alive that it was found on the stack of.
    pub(crate) unsafe fn of(
        found: impl Iterator<Item = StackWord>,
        omitted: usize,
        mut frame: impl FnMut(usize) -> Option<RawFrame>,
    ) -> Self {
        let mut live = Self {
            stack: RawStack { omitted: u32::try_from(omitted).unwrap_or(u32::MAX), ..RawStack::default() },
            host_calls: Vec::new(),
        };
        for found in found {
            match found.get() {
                StackEntry::Frame(address) => live.stack.frames.extend(frame(address)),
                StackEntry::HostCall(callee) => {
                    // SAFETY: the caller's promise.
                    let callee = unsafe { HostCallee::noted(callee) };
                    let by = live.stack.frames.len();
                    live.host_calls.extend(callee.map(|callee| HostCall { by, callee }));
                }
            }
        }
        live
    }

    /// The innermost frames.
    pub fn frames(&self) -> &[RawFrame] {
        self.stack.frames()
    }

    /// How many outer frames were not kept.
    pub fn omitted(&self) -> usize {
        self.stack.omitted()
    }

    /// The calls by which guests went to the host, the innermost first.
    pub fn host_calls(&self) -> &[HostCall] {
        &self.host_calls
    }
}
