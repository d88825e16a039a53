//! The stack of a guest that runs on this thread, from a signal handler, at whatever instruction the thread is.
//!
//! In: a store's context and the registers of the moment. Out: an address within the instruction of each guest frame,
//! innermost first. Never: takes a lock, allocates, or touches a thread-local.
//!
//! Where a walk begins depends on where the thread is:
//!
//! | the thread is in | the innermost guest frame |
//! |---|---|
//! | guest code | is found from the instruction itself ([`Prologue`]) |
//! | a stub, between guest and host | is the one that the stub has left, or is about to enter |
//! | the host | is the one that called it, as the stub noted in the store context |
//!
//! **Invariant:** what the stubs note is true at each of their instructions: an activation is the innermost (`entry_fp`) from the
//! instruction on that follows its record's completion, until the notes of the one before are back.

use super::activation::Waiting;
use super::faults::redirect;
use super::handlers::handlers;
use super::processor::{Context, InStub, ProgramState, Prologue, REACH, returned_address};
use crate::code_table;
use crate::invariants::read_guest_stack;
use crate::vm_ptr::VmPtr;
use belljar_abi::StoreContext;
use belljar_core::Trap;

/// What a thread did that runs a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThreadState {
    /// No guest code of the store was running, or waiting for the host.
    Idle,
    /// It executed guest code.
    Guest,
    /// It was in the host, which the innermost frame had called: in a function of the embedder's, or in the runtime.
    Host,
}

/// What became of a try to reach a guest's thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reached {
    /// It leaves.
    Leaves,
    /// It runs no guest of the store any more.
    Idle,
    /// It is in the host.
    InHost,
    /// It is between guest and host.
    Between,
}

/// Something on a stack, as a walk finds it: a number, as it is to be kept by signal handlers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StackWord(pub(crate) u64);

/// What a [`StackWord`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StackEntry {
    /// A guest frame: an address within the instruction that it is at. Frames of trampolines are among them, which are nobody's
    /// functions.
    Frame(usize),
    /// A call of the host by the frame that follows: what the stub noted ([`StoreContext::exit_callee`]).
    HostCall(usize),
}

/// No address of code or of an object has this bit.
const HOST_CALL: u64 = 1 << 63;

impl StackWord {
    fn frame(address: usize) -> Self {
        Self(address as u64)
    }

    fn host_call(callee: usize) -> Self {
        Self(callee as u64 | HOST_CALL)
    }

    pub(crate) fn get(self) -> StackEntry {
        match self.0 & HOST_CALL {
            0 => StackEntry::Frame(self.0 as usize),
            _ => StackEntry::HostCall((self.0 & !HOST_CALL) as usize),
        }
    }
}

/// What a walk found beside the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walked {
    pub(crate) doing: ThreadState,
    /// Frame pointer of the entry stub of the innermost activation.
    pub(crate) entry: usize,
}

/// Calls `visit` with what is on the stack of a store that this thread runs, innermost first. Async-signal-safe.
///
/// # Safety
///
/// `context` is that of a store that is alive, and no other thread runs the store.
pub(crate) unsafe fn walk(
    context: VmPtr<StoreContext>,
    state: ProgramState,
    mut visit: impl FnMut(StackWord),
) -> Walked {
    let fields = context.as_ptr().cast_const();
    // SAFETY: the caller's promise; the thread itself was interrupted, and each field is a word.
    let noted = unsafe {
        let read = |field: *const usize| field.read_volatile();
        (
            read(&raw const (*fields).entry_fp),
            read(&raw const (*fields).exit_pc),
            read(&raw const (*fields).exit_fp),
            read(&raw const (*fields).exit_callee),
        )
    };
    let (mut entry, exit_pc, exit_fp, exit_callee) = noted;
    if entry == 0 {
        return Walked { doing: ThreadState::Idle, entry };
    }
    // Of an activation that has not called the host yet, what is noted is an older one's.
    let exit_callee = if exit_fp == 0 { 0 } else { exit_callee };
    // If this thread is in guest code, or in a stub: what comes before the next guest frame on the stack, the address that frame
    // continues at, and its frame pointer.
    let here = match in_stub(&state) {
        Some(InStub::NoFrame { entry }) => Some((None, returned_address(), entry)),
        Some(InStub::Leaving { store_context }) if store_context == context.address() => {
            Some((None, returned_address(), entry))
        }
        Some(InStub::Leaving { .. }) => None,
        Some(InStub::Exit { callee }) => {
            // SAFETY: GUEST-FRAMES: a guest has called the stub, which has pushed nothing.
            Some((Some(StackWord::host_call(callee)), unsafe { state.return_address() }, state.fp))
        }
        // A handler is no return address: of those the byte before is taken.
        Some(InStub::Resumed { pc, fp }) => Some((None, pc + 1, fp)),
        None if code_table::is_code(state.pc) => {
            // SAFETY: GUEST-FRAMES: the thread executes this code.
            let (to, frame) = unsafe { state.caller(prologue_at(state.pc)) };
            Some((Some(StackWord::frame(state.pc)), to, frame))
        }
        None => None,
    };
    // SAFETY: GUEST-FRAMES: as above. A guest of another store may run in a host function of this one's.
    let here = here.filter(|(_, to, frame)| unsafe { outermost(*to, *frame) } == entry);
    let in_guest =
        here.and_then(|(first, ..)| first).is_some_and(|first| matches!(first.get(), StackEntry::Frame(_)));
    let walked = Walked { doing: if in_guest { ThreadState::Guest } else { ThreadState::Host }, entry };
    let called = |callee: usize| (callee != 0).then(|| StackWord::host_call(callee));
    let (mut first, mut to, mut frame) = here.unwrap_or_else(|| (called(exit_callee), exit_pc, exit_fp));
    loop {
        first.into_iter().for_each(&mut visit);
        let mut inner = 0;
        // Where the embedder's own signal handler interrupted guest code, what was noted of the last call of the host may be
        // overwritten by now: such a chain ends where it leaves the activation.
        while to != returned_address() && inner < frame && frame < entry {
            visit(StackWord::frame(to.wrapping_sub(1)));
            inner = frame;
            // SAFETY: GUEST-FRAMES: it is the frame pointer of a guest frame, or at least an address on the stack of the
            // activation.
            (to, frame) = unsafe { (read_guest_stack(frame + 8), read_guest_stack(frame)) };
        }
        // SAFETY: ACTIVATION-RECORD: `entry` is the entry stub's frame of a live activation.
        let Some(waiting) = (unsafe { Waiting::before(entry) }) else { return walked };
        (first, to, frame) = (called(waiting.exit_callee), waiting.exit_pc, waiting.exit_fp);
        entry = waiting.entry;
    }
}

/// Makes the thread leave the innermost activation of a store, if it executes guest code of that activation, by changing where it
/// continues. Async-signal-safe.
///
/// # Safety
///
/// As [`walk`], with the context that this thread's signal handler was given.
pub(crate) unsafe fn leave_guest(context: VmPtr<StoreContext>, thread: &mut Context) -> Reached {
    // SAFETY: the caller's promise; the thread itself was interrupted.
    let entry = unsafe { (&raw const (*context.as_ptr()).entry_fp).read_volatile() };
    if entry == 0 {
        return Reached::Idle;
    }
    let state = thread.state();
    if in_stub(&state).is_some() {
        return Reached::Between;
    }
    if !code_table::is_code(state.pc) {
        return Reached::InHost;
    }
    let prologue = prologue_at(state.pc);
    // SAFETY: GUEST-FRAMES: the thread executes this code, of this store or of another store's guest in its host function.
    unsafe {
        let (to, frame) = state.caller(prologue);
        if outermost(to, frame) != entry {
            return Reached::InHost;
        }
        thread.complete_frame(prologue);
    }
    redirect(Trap::Interrupt, 0, thread);
    Reached::Leaves
}

fn in_stub(state: &ProgramState) -> Option<InStub> {
    InStub::of(state, handlers()?.builtin_stubs)
}

/// The frame pointer of the entry stub of the activation that guest code belongs to which returns to this address and frame.
///
/// # Safety
///
/// The thread that calls this is the one that executes that code.
unsafe fn outermost(mut to: usize, mut frame: usize) -> usize {
    while to != returned_address() && frame != 0 {
        // SAFETY: GUEST-FRAMES: it is the frame pointer of a guest frame.
        (to, frame) = unsafe { (read_guest_stack(frame + 8), read_guest_stack(frame)) };
    }
    frame
}

/// The state of the frame of the function that this thread executes.
fn prologue_at(pc: usize) -> Prologue {
    let function = code_table::function_at(pc);
    // Where code is loaded on demand, the next instruction may be missing. Reading it would load it, on the stack of the signal
    // handler, which is too small for that. Mostly it is a function's first instruction.
    if function.as_ref().is_some_and(|function| function.start == pc) {
        return Prologue::NoFrame;
    }
    let prologue = code_table::with_text(pc, |text, base| {
        // All of a function is there; of other code, what is executed next.
        let end = function.as_ref().map_or(pc + REACH, |function| function.end) - base;
        let function = function.as_ref().map(|function| function.start - base..function.end - base);
        Prologue::at(&text[..end.min(text.len())], pc - base, function)
    });
    prologue.unwrap_or(Prologue::Complete)
}
