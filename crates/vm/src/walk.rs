//! Walks the guest frames of a store by frame pointers, from the innermost out through every activation.

use crate::activation::Waiting;
use crate::code_table::{self, LoadedCode};
use crate::host::HostCallee;
use crate::invariants::read_guest_stack;
use crate::signal_walk::{Found, StackEntry};
use crate::store::StoreCore;
use crate::sys::returned_address;
use belljar_core::CodeOffset;
use std::any::Any;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A frame of guest code.
#[derive(Clone, Debug)]
pub struct RawFrame {
    code: Arc<LoadedCode>,
    /// An offset inside the instruction that the frame is at: of the call, for all but the innermost.
    offset: CodeOffset,
}

impl RawFrame {
    /// The frame of the function that has the instruction at this address; `None` where there is no function.
    pub(crate) fn at(address: usize) -> Option<Self> {
        let (code, offset) = code_table::code_at(address)?;
        code.tables().func_at(offset)?;
        Some(Self { code, offset })
    }

    /// The module's tables.
    pub fn code(&self) -> &Arc<LoadedCode> {
        &self.code
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

/// Frames that a recorded stack keeps for a core dump: all of a stack of usual size.
const FRAMES_DUMPED: usize = 1 << 16;

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

    pub(crate) fn capture(core: &StoreCore, start: Start) -> Self {
        let mut stack = Self::default();
        let kept = if core.runtime.dumps_cores { FRAMES_DUMPED } else { Self::FRAMES_KEPT };
        let mut innermost = matches!(start, Start::At { .. });
        let mut others = FunctionCounts::default();
        let mut left = Self::FRAMES_COUNTED;
        walk(core, start, |pc, _| {
            if left == 0 {
                stack.is_counted = false;
                return ControlFlow::Break(());
            }
            left -= 1;
            // A return address may lie past the end of its function: look at the byte before it.
            let at = if innermost { pc } else { pc - 1 };
            innermost = false;
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
        found: impl Iterator<Item = Found>,
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

/// Where a walk begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// At an instruction of guest code.
    At { pc: usize, fp: usize },
    /// At the call through which the guest left for the host.
    AtExit,
}

/// Calls `visit` with the program counter and frame pointer of every guest frame, innermost first, until it breaks off.
pub(crate) fn walk(core: &StoreCore, start: Start, mut visit: impl FnMut(usize, usize) -> ControlFlow<()>) {
    // SAFETY: STORE-EXCLUSIVE: only this thread's stubs write these, and they are not running.
    let (mut entry, mut at) = unsafe {
        let context = core.context();
        ((*context).entry_fp, ((*context).exit_pc, (*context).exit_fp))
    };
    if let Start::At { pc, fp } = start {
        at = (pc, fp);
    }
    while entry != 0 {
        let (mut pc, mut fp) = at;
        // An activation that never called out has no frames below an exit.
        while fp != 0 && pc != returned_address() {
            if visit(pc, fp).is_break() {
                return;
            }
            // SAFETY: GUEST-FRAMES: `fp` is the frame pointer of a guest frame.
            (pc, fp) = unsafe { (read_guest_stack(fp + 8), read_guest_stack(fp)) };
        }
        // SAFETY: ACTIVATION-RECORD: `entry` is the entry stub's frame of a live activation.
        let Some(waiting) = (unsafe { Waiting::before(entry) }) else { return };
        at = (waiting.exit_pc, waiting.exit_fp);
        entry = waiting.entry;
    }
}
