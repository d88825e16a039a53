//! Fault handling. A fault of guest code becomes a trap. A fault on a block that is loaded on demand loads the block.
//! The first write to write-protected memory is noted. Every other fault, and every signal of these kinds that a
//! process sent, goes to the handler that was installed before ours.
//!
//! If guest code faults at an address where none of its code relies on faults, the code is wrong, not the guest: the
//! process aborts ([`refuse_access`]).
//!
//! The handler takes no lock, allocates nothing and touches no thread-local. It looks the instruction up in the code
//! table, finds the activation by walking frame pointers, and changes where the thread continues.

use super::activation::store_of;
use super::fault_place::FaultPlace;
use super::handlers::{self, Handlers, handlers};
use super::processor::{
    Access, Context, Prologue, TRAP_INSTRUCTION, fault_address, on_stack, returned_address,
};
use super::requests;
use crate::code_table;
use crate::invariants::read_guest_stack;
use crate::on_demand::{self, Damaged, OnDemand};
use crate::sys::{Signal, SignalKind, SignalsHandled, end_process, handle_signals, record_write};
use crate::vm_ptr::VmPtr;
use belljar_abi::StoreContext;
use belljar_core::Trap;
use std::io;

/// Installs the signal handler, once per process.
pub(crate) fn install(handlers: &'static Handlers) -> io::Result<SignalsHandled> {
    handlers::set(handlers);
    handle_signals(handle_signal)
}

/// Handles the signals of the process that concern guests.
///
/// # Safety
///
/// Called by the kernel with a valid `siginfo_t` and `ucontext_t`.
unsafe extern "C" fn handle_signal(
    number: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a pointer to a structure of this type, ours until we return.
    let signal = Signal::new(number, unsafe { &*info });
    let is_ours = handlers().is_some_and(|handlers| {
        // SAFETY: as above.
        handle(handlers, signal, unsafe { &mut *context.cast::<Context>() })
    });
    if !is_ours {
        // SAFETY: the same signal with the same context.
        unsafe { signal.pass_on(context) };
    }
}

/// Handles a signal. Returns `false` if it is not ours.
fn handle(handlers: &Handlers, signal: Signal<'_>, context: &mut Context) -> bool {
    if signal.kind() == SignalKind::Request {
        return match signal.timer_overrun() {
            Some(missed) => {
                (handlers.sample)(context.state(), missed);
                true
            }
            None => requests::answer(handlers.answer, signal, context),
        };
    }
    // A signal that a process sent has no address, and no instruction faulted.
    if !signal.is_raised() {
        return false;
    }
    if is_watched_write(signal, context) {
        return true;
    }
    match load_on_demand(signal, context) {
        Resolved::Loaded => true,
        Resolved::Refused => {
            redirect(Trap::ArtifactDamaged, 0, context);
            true
        }
        Resolved::NotOurs => handle_trap(handlers, signal, context),
    }
}

/// The result of trying to load a block because of a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Resolved {
    /// The block is loaded, and the instruction can run again.
    Loaded,
    /// Guest code needs a block that is damaged.
    Refused,
    /// The address does not belong to an [`OnDemand`].
    NotOurs,
}

/// Returns whether the fault was the first write to watched memory. If so, the instruction can run again.
fn is_watched_write(signal: Signal<'_>, context: &Context) -> bool {
    if !signal.is_protection_fault() || context.access() != Access::Write {
        return false;
    }
    let address = signal.address();
    match record_write(address) {
        Ok(is_watched) => is_watched,
        Err(error) => end_process(format_args!(
            "the kernel refused to make write-protected memory at {address:#x} writable again (error {}). \
             The process may have reached its limit on mappings (vm.max_map_count). Aborting.",
            error.raw_os_error().unwrap_or_default()
        )),
    }
}

/// Loads the block that the instruction faulted on, if the block belongs to an [`OnDemand`].
fn load_on_demand(signal: Signal<'_>, context: &mut Context) -> Resolved {
    if signal.kind() != SignalKind::Memory {
        return Resolved::NotOurs;
    }
    let (access, state) = (context.access(), context.state());
    let resolved =
        on_demand::at(signal.address(), |source, offset| load(source, offset, access, state.pc, state.sp));
    let resolved = resolved.unwrap_or(Resolved::NotOurs);
    let begins = code_table::function_at(state.pc).is_none_or(|function| function.start == state.pc);
    if resolved == Resolved::Refused && access == Access::Execute && begins {
        // The function's first instructions, which set up its frame, cannot run. Set the frame up for them, so that the
        // stack can be walked.
        // SAFETY: GUEST-FRAMES: guest code was about to begin a function.
        unsafe { context.complete_frame(Prologue::NoFrame) };
    }
    resolved
}

/// Loads what an instruction at `pc` needs at an offset.
fn load(source: &OnDemand, offset: usize, access: Access, pc: usize, sp: usize) -> Resolved {
    let is_text = source.text().contains(&offset);
    let wanted = match access {
        Access::Write => return Resolved::NotOurs,
        Access::Execute if !is_text => return Resolved::NotOurs,
        // Load the whole function. Then missing code is only ever found at a function's first instruction, where the
        // layout of the stack is known.
        Access::Execute => match code_table::function_at(pc) {
            Some(function) => function.start - source.base()..function.end - source.base(),
            // No thunk is longer than this.
            None => offset..offset + 64,
        },
        Access::Read => offset..offset + 1,
    };
    let mut loaded = Ok(());
    // The signal stack is too small for loading.
    // SAFETY: code that touches memory in the middle of a function has left room for the host (`HOST_RESERVE`), or is
    // the host; loading does not unwind.
    unsafe { on_stack(sp, &mut || loaded = source.load(wanted.clone())) };
    match loaded {
        Ok(()) => Resolved::Loaded,
        Err(Damaged) if code_table::is_code(pc) => Resolved::Refused,
        // The host reads zeros from damaged tables, but zeros never become executable.
        Err(Damaged) if is_text => Resolved::NotOurs,
        Err(Damaged) => Resolved::Loaded,
    }
}

/// If an instruction of guest code faulted, records the trap in its store and makes the thread continue in the `fault`
/// stub.
fn handle_trap(handlers: &Handlers, signal: Signal<'_>, context: &mut Context) -> bool {
    let state = context.state();
    // SAFETY: only called for guest code, which leaves room for the host below its stack pointer (`HOST_RESERVE`).
    let with_stack = |call: &mut dyn FnMut()| unsafe { on_stack(state.sp, call) };
    let Some(trap) = code_table::trap_at(state.pc, with_stack) else { return false };
    if trap == Trap::ArtifactDamaged {
        redirect(trap, 0, context);
        return true;
    }
    let address = match signal.kind() {
        SignalKind::Illegal if is_trap_instruction(state.pc) => 0,
        SignalKind::Arithmetic if matches!(trap, Trap::IntegerDivisionByZero | Trap::IntegerOverflow) => 0,
        SignalKind::Memory | SignalKind::Bus => {
            let address = signal.address();
            // SAFETY: the thread was interrupted in guest code of the store (GUEST-FRAMES), which is alive, and which
            // no other thread changes (STORE-EXCLUSIVE).
            let place = unsafe { (handlers.fault_place)(store_context_of(state.fp), address) };
            if !place.is_expected(trap) {
                refuse_access(trap, place, address, state.pc);
            }
            address
        }
        // For example an instruction that the processor does not support.
        _ => return false,
    };
    redirect(trap, address, context);
    true
}

/// Returns whether the guest instruction that faulted at `pc` is the trap instruction.
fn is_trap_instruction(pc: usize) -> bool {
    code_table::with_text(pc, |text, base| {
        text.get(pc - base..).is_some_and(|code| code.starts_with(&TRAP_INSTRUCTION))
    })
    .unwrap_or(false)
}

/// Aborts the process because guest code made an access that correct code never makes.
fn refuse_access(trap: Trap, place: FaultPlace, address: usize, pc: usize) -> ! {
    match place {
        FaultPlace::InsideMemory => end_process(format_args!(
            "guest code at {pc:#x} faulted at {address:#x}, which is inside its own memory. \
             The machine may be out of memory; otherwise please report this. Aborting."
        )),
        _ => end_process(format_args!(
            "guest code at {pc:#x} accessed {address:#x}, which is in no memory of its store (only \"{trap}\" can happen there). \
             The code may be miscompiled, which is a security issue: please report this, with the module. Aborting."
        )),
    }
}

/// Records a trap in the store whose guest code this thread executes, and makes the thread continue in the `fault`
/// stub. The function's frame must be complete.
pub(super) fn redirect(trap: Trap, address: usize, context: &mut Context) {
    let state = context.state();
    let context_of_store = store_context_of(state.fp);
    let store = context_of_store.as_ptr();
    // SAFETY: the instruction is guest code (GUEST-FRAMES), so this thread runs an activation of that store and the
    // context is alive; only this thread writes to it (STORE-EXCLUSIVE).
    unsafe {
        (*store).trap_pc = state.pc;
        (*store).trap_fp = state.fp;
        (*store).trap_code = u64::from(trap.code());
        (*store).trap_address = address;
        // From here on, a walk of the stack sees a call at this instruction.
        (*store).exit_pc = state.pc + 1;
        (*store).exit_fp = state.fp;
        (*store).exit_callee = 0;
    }
    context.continue_at(fault_address(), context_of_store.address());
}

/// Returns the context of the store whose activation the guest frame at `fp` belongs to, by walking to the entry stub's
/// frame.
fn store_context_of(mut fp: usize) -> VmPtr<StoreContext> {
    loop {
        // SAFETY: GUEST-FRAMES: `fp` is the frame pointer of a live guest frame, so the caller's frame pointer and the
        // return address lie at it.
        let (caller, pc) = unsafe { (read_guest_stack(fp), read_guest_stack(fp + 8)) };
        if pc == returned_address() {
            // SAFETY: ACTIVATION-RECORD: the caller is the entry stub, whose record names its store.
            return unsafe { store_of(caller) };
        }
        fp = caller;
    }
}
