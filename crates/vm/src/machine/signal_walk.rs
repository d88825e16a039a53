//! Walks the stack of a guest on this thread from a signal handler, at any instruction.
//!
//! In: a store's context and the interrupted registers. Out: an address within the instruction of each guest frame,
//! innermost first. Never: takes a lock, allocates, or touches a thread-local.
//!
//! Where the walk starts depends on where the thread is:
//!
//! | the thread is in | the innermost guest frame |
//! |---|---|
//! | guest code | is found from the instruction itself ([`Prologue`]) |
//! | a stub, between guest and host | is the one that the stub has left, or is about to enter |
//! | the host | is the one that called it, as the stub noted in the store context |
//!
//! **Invariant:** what the stubs note is true at each of their instructions. An activation is the innermost
//! (`entry_fp`) from the instruction that follows the completion of its record until the notes of the one before it are
//! restored.

use super::activation::Waiting;
use super::faults::redirect;
use super::handlers::handlers;
use super::processor::{Context, InStub, ProgramState, Prologue, REACH, returned_address};
use crate::code_table;
use crate::invariants::read_guest_stack;
use crate::vm_ptr::VmPtr;
use belljar_abi::StoreContext;
use belljar_core::Trap;

/// What the thread that runs a store was doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThreadState {
    /// It was not running guest code of the store, and none was waiting for the host.
    Idle,
    /// It was executing guest code.
    Guest,
    /// It was in the host, called by the innermost frame: in a function of the embedder or in the runtime.
    Host,
}

/// The result of trying to make a thread leave its guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reached {
    /// The thread leaves the guest.
    Leaves,
    /// The thread no longer runs a guest of the store.
    Idle,
    /// The thread is in the host.
    InHost,
    /// The thread is between guest and host.
    Between,
}

/// An entry on a stack, encoded as a number so that signal handlers can store it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StackWord(pub(crate) u64);

/// A decoded [`StackWord`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StackEntry {
    /// A guest frame: an address within its current instruction. Frames of trampolines, which belong to no function,
    /// are included.
    Frame(usize),
    /// A call of the host by the frame that follows: what the stub noted ([`StoreContext::exit_callee`]).
    HostCall(usize),
}

/// A bit that no address of code or of an object has set.
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

/// What a walk finds besides the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walked {
    pub(crate) doing: ThreadState,
    /// Frame pointer of the entry stub of the innermost activation.
    pub(crate) entry: usize,
}

/// Calls `visit` with each entry on the stack of a store that this thread runs, innermost first. Async-signal-safe.
///
/// # Safety
///
/// `context` is that of a live store, and no other thread runs the store.
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
    // If the activation has not called the host yet, the noted callee is left from an older activation.
    let exit_callee = if exit_fp == 0 { 0 } else { exit_callee };
    // If this thread is in guest code or in a stub: the entry before the next guest frame on the stack, the address
    // where that frame continues, and its frame pointer.
    let here = match in_stub(&state) {
        Some(InStub::NoFrame { entry }) => Some((None, returned_address(), entry)),
        Some(InStub::Leaving { store_context }) if store_context == context.address() => {
            Some((None, returned_address(), entry))
        }
        Some(InStub::Leaving { .. }) => None,
        Some(InStub::Exit { callee }) => {
            // SAFETY: GUEST-FRAMES: a guest called the stub, which has pushed nothing.
            Some((Some(StackWord::host_call(callee)), unsafe { state.return_address() }, state.fp))
        }
        // The walk subtracts one from return addresses. A handler's address is not one, so add one here.
        Some(InStub::Resumed { pc, fp }) => Some((None, pc + 1, fp)),
        Some(InStub::Continued { pc, fp }) => Some((None, pc, fp)),
        None if code_table::is_code(state.pc) => {
            // SAFETY: GUEST-FRAMES: the thread executes this code.
            let (to, frame) = unsafe { state.caller(prologue_at(state.pc)) };
            Some((Some(StackWord::frame(state.pc)), to, frame))
        }
        None => None,
    };
    // SAFETY: GUEST-FRAMES: as above. A guest of another store may run in a host function of this store.
    let here = here.filter(|(_, to, frame)| unsafe { outermost(*to, *frame) } == entry);
    let in_guest =
        here.and_then(|(first, ..)| first).is_some_and(|first| matches!(first.get(), StackEntry::Frame(_)));
    let walked = Walked { doing: if in_guest { ThreadState::Guest } else { ThreadState::Host }, entry };
    let called = |callee: usize| (callee != 0).then(|| StackWord::host_call(callee));
    let (mut first, mut to, mut frame) = here.unwrap_or_else(|| (called(exit_callee), exit_pc, exit_fp));
    loop {
        first.into_iter().for_each(&mut visit);
        let mut inner = 0;
        // If the embedder's own signal handler interrupted guest code, the notes about the last call of the host may
        // have been overwritten. Such a chain ends where it leaves the activation.
        while to != returned_address() && inner < frame && frame < entry {
            visit(StackWord::frame(to.wrapping_sub(1)));
            inner = frame;
            // SAFETY: GUEST-FRAMES: it is the frame pointer of a guest frame, or at least an address on the stack of
            // the activation.
            (to, frame) = unsafe { (read_guest_stack(frame + 8), read_guest_stack(frame)) };
        }
        // SAFETY: ACTIVATION-RECORD: `entry` is the entry stub's frame of a live activation.
        let Some(waiting) = (unsafe { Waiting::before(entry) }) else { return walked };
        (first, to, frame) = (called(waiting.exit_callee), waiting.exit_pc, waiting.exit_fp);
        entry = waiting.entry;
    }
}

/// Makes the thread leave the innermost activation of a store, by changing where it continues, if it executes guest
/// code of that activation. Async-signal-safe.
///
/// # Safety
///
/// The conditions of [`walk`] apply, with the context that this thread's signal handler was given.
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
    // SAFETY: GUEST-FRAMES: the thread executes this code, which belongs to this store or to another store's guest in
    // its host function.
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

/// Returns the entry stub's frame pointer of the activation that guest code with this return address and frame belongs
/// to.
///
/// # Safety
///
/// The calling thread is the one that executes that code.
unsafe fn outermost(mut to: usize, mut frame: usize) -> usize {
    while to != returned_address() && frame != 0 {
        // SAFETY: GUEST-FRAMES: it is the frame pointer of a guest frame.
        (to, frame) = unsafe { (read_guest_stack(frame + 8), read_guest_stack(frame)) };
    }
    frame
}

/// Returns the state of the frame of the function that this thread executes.
fn prologue_at(pc: usize) -> Prologue {
    let function = code_table::function_at(pc);
    // With on-demand loading the next instruction may be missing, usually a function's first one. Reading it here would
    // load it on the signal handler's stack, which is too small for that.
    if function.as_ref().is_some_and(|function| function.start == pc) {
        return Prologue::NoFrame;
    }
    let prologue = code_table::with_text(pc, |text, base| {
        // A function is loaded as a whole. Of other code, the next bytes to be executed are loaded.
        let end = function.as_ref().map_or(pc + REACH, |function| function.end) - base;
        let function = function.as_ref().map(|function| function.start - base..function.end - base);
        Prologue::at(&text[..end.min(text.len())], pc - base, function)
    });
    prologue.unwrap_or(Prologue::Complete)
}
