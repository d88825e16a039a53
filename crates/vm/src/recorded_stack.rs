//! Recorded stacks of guests: each frame with the code that it is in.
//!
//! In: addresses, as found by walks. Out: [`RawStack`] and [`LiveStack`]. Never: access to a stack itself.

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
    /// An offset inside the current instruction; for all but the innermost frame, the call.
    offset: CodeOffset,
}

impl RawFrame {
    /// Returns the frame of the function that contains the instruction at this address; `None` if there is no function.
    pub(crate) fn at(address: usize) -> Option<Self> {
        let (code, offset) = code_table::code_at(address)?;
        code.func_at(offset)?;
        Some(Self { code, offset })
    }

    /// Returns the chunk of code.
    pub fn code(&self) -> &Arc<CodeChunk> {
        &self.code
    }

    /// Returns the function that the code belongs to.
    pub fn func(&self) -> Option<DefinedFuncIndex> {
        self.code.func_at(self.offset)
    }

    /// Returns the frame's offset in the text.
    pub fn offset(&self) -> CodeOffset {
        self.offset
    }

    /// Returns how many functions of the specification's stack it stands for, including inlined ones.
    pub fn function_count(&self) -> usize {
        self.code.tables().positions_at(self.offset).len().max(1)
    }

    /// Returns the [`crate::LoadedModule`] that the code belongs to, if it is still loaded.
    pub fn module(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.code.owner()
    }
}

/// A call of the host by a guest on the stack.
#[derive(Clone, Debug)]
pub struct HostCall {
    /// The index of the calling frame in [`LiveStack::frames`].
    pub by: usize,
    /// The function that it called.
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
    /// The number of frames that a recorded stack keeps, and a backtrace shows. A runaway recursion has tens of
    /// thousands, all alike.
    pub const FRAMES_KEPT: usize = 256;

    /// The number of frames that are counted at most. Counting takes up to 10 ns per frame, and killing a guest with a
    /// gigabyte of stack should not wait for that.
    pub const FRAMES_COUNTED: usize = 1 << 17;

    /// Returns the innermost frames.
    pub fn frames(&self) -> &[RawFrame] {
        &self.frames
    }

    /// Returns how many functions the omitted outer frames stand for; for a snapshot taken from another thread, the
    /// number of omitted frames.
    pub fn omitted(&self) -> usize {
        self.omitted as usize
    }

    /// Returns whether all omitted frames were counted: `false` for a stack of more than [`Self::FRAMES_COUNTED`]
    /// frames.
    pub fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// Records the stack that `walk` visits, innermost frame first. `kept` is the maximum number of frames to keep. If
    /// `is_exact`, the first address is that of an instruction; all other addresses are return addresses.
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

/// Caches how many functions the frames at an address stand for. A deep stack has many frames at few addresses.
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
    /// Creates a stack from the entries that were found and the number that was omitted. `frame` converts an address to
    /// a frame.
    ///
    /// # Safety
    ///
    /// The stores whose stack it is are alive.
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
                    let callee = unsafe { HostCallee::decode(callee) };
                    let by = live.stack.frames.len();
                    live.host_calls.extend(callee.map(|callee| HostCall { by, callee }));
                }
            }
        }
        live
    }

    /// Returns the innermost frames.
    pub fn frames(&self) -> &[RawFrame] {
        self.stack.frames()
    }

    /// Returns how many outer frames were omitted.
    pub fn omitted(&self) -> usize {
        self.stack.omitted()
    }

    /// Returns the calls by which guests called the host, innermost first.
    pub fn host_calls(&self) -> &[HostCall] {
        &self.host_calls
    }
}
