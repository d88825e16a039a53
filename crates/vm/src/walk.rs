//! Walks the guest frames of a store by frame pointers, from the innermost outwards through all activations.

use crate::invariants::read_guest_stack;
use crate::machine::{Waiting, returned_address};
use crate::recorded_stack::RawStack;
use crate::store::StoreCore;
use std::convert::Infallible;
use std::ops::ControlFlow;

/// The largest number of frames in a stack that is recorded for a core dump. Stacks of usual size fit.
const FRAMES_DUMPED: usize = 1 << 16;

/// The start of a walk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// At an instruction of guest code.
    At { pc: usize, fp: usize },
    /// At the call through which the guest left for the host.
    AtExit,
}

/// A frame of a guest function, as found by a walk.
pub(crate) enum GuestFrame {
    /// A frame of machine code.
    Native {
        /// The address where it continues; for the innermost frame, the current address.
        pc: usize,
        fp: usize,
    },
    /// A frame of an interpreter, which this build does not have.
    #[expect(dead_code, reason = "an interpreter will make them")]
    Interpreted(Infallible),
}

/// Calls `visit` with every guest frame, innermost first, until it breaks.
pub(crate) fn walk(core: &StoreCore, start: Start, mut visit: impl FnMut(GuestFrame) -> ControlFlow<()>) {
    // SAFETY: STORE-EXCLUSIVE: only this thread's stubs write these, and they are not running.
    let (mut entry, mut at) = unsafe {
        let context = core.context();
        ((*context).entry_fp, ((*context).exit_pc, (*context).exit_fp))
    };
    if let Start::At { pc, fp } = start {
        at = (pc, fp);
    }
    while entry != 0 {
        // SAFETY: GUEST-FRAMES: the activation's guest waits in a call of the host, which left the innermost frame.
        if unsafe { walk_activation(at, &mut visit) }.is_break() {
            return;
        }
        // SAFETY: ACTIVATION-RECORD: `entry` is the entry stub's frame of a live activation.
        let Some(waiting) = (unsafe { Waiting::before(entry) }) else { return };
        at = (waiting.exit_pc, waiting.exit_fp);
        entry = waiting.entry;
    }
}

/// Calls `visit` with the frames of an activation, innermost first, until it breaks. `at` is where the innermost one
/// continues, and its frame pointer.
///
/// # Safety
///
/// The frames are alive, and the activation's guest does not run.
unsafe fn walk_activation(
    at: (usize, usize),
    visit: &mut dyn FnMut(GuestFrame) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let (mut pc, mut fp) = at;
    // An activation that never called the host has no frames below an exit.
    while fp != 0 && pc != returned_address() {
        visit(GuestFrame::Native { pc, fp })?;
        // SAFETY: GUEST-FRAMES: `fp` is the frame pointer of a guest frame.
        (pc, fp) = unsafe { (read_guest_stack(fp + 8), read_guest_stack(fp)) };
    }
    ControlFlow::Continue(())
}

/// Calls `visit` with every frame of a guest that waits for the host, and of every guest that was suspended.
pub(crate) fn walk_with_suspended(core: &StoreCore, mut visit: impl FnMut(GuestFrame) -> ControlFlow<()>) {
    walk(core, Start::AtExit, &mut visit);
    for at in core.apart.suspended_frames() {
        // SAFETY: SUSPENDED: the frames stay as they are until their guest continues.
        if unsafe { walk_activation(at, &mut visit) }.is_break() {
            return;
        }
    }
}

impl StoreCore {
    /// Records the stack of the store's guest.
    pub(crate) fn record_stack(&self, start: Start) -> RawStack {
        let kept = if self.runtime.dumps_cores { FRAMES_DUMPED } else { RawStack::FRAMES_KEPT };
        let is_exact = matches!(start, Start::At { .. });
        RawStack::record(kept, is_exact, |visit| {
            walk(self, start, |frame| match frame {
                GuestFrame::Native { pc, .. } => visit(pc),
                GuestFrame::Interpreted(never) => match never {},
            });
        })
    }
}
