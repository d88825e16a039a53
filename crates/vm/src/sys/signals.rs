//! Faults of guest code become traps, those on what is loaded on demand load it, and first writes to memory that is watched are noted;
//! every other fault, and every such signal that a process sent, goes to whoever was there before.
//!
//! If guest code faults at an address that is in none of its store's memories, the code is wrong, not the guest: the process aborts
//! ([`refuse_access`]).
//!
//! The handler takes no lock, allocates nothing and touches no thread-local: it looks the instruction up in
//! the code table, finds the activation by walking frame pointers, and changes where the thread goes on.

use crate::activation::store_of;
use crate::code_table;
use crate::fault_place::FaultPlace;
use crate::invariants::{read_guest_stack, write_guest_stack};
use crate::on_demand::{self, Damaged, OnDemand};
use crate::store::StoreCore;
use crate::sys::fatal::end_process;
use crate::sys::stack::on_stack;
use crate::sys::stubs::{builtin_table, fault_address, returned_address};
use crate::sys::watching::{self, leave_signal, watch_signal};
use crate::sys::write_watch::note_write;
use crate::vm_ptr::VmPtr;
use belljar_abi::StoreContext;
use belljar_core::Trap;
use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// The signals that a guest's faulting instruction can raise.
const SIGNALS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// How many signals we handle: these, and those by which threads are asked.
const HANDLED: usize = SIGNALS.len() + 2;

/// What was installed before us, by position in [`SIGNALS`]. Written once, before our handler is installed.
struct Previous(UnsafeCell<[MaybeUninit<libc::sigaction>; HANDLED]>);

// SAFETY: each element is written once, by `install` under its `OnceLock`, before the handler that reads it
// can run; after that it is only read.
unsafe impl Sync for Previous {}

static PREVIOUS: Previous = Previous(UnsafeCell::new([const { MaybeUninit::uninit() }; HANDLED]));

/// Installs the handler, once in a process.
pub(crate) fn install() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    INSTALLED
        .get_or_init(|| {
            // The handler reads it.
            builtin_table();
            for (i, signal) in SIGNALS.iter().enumerate() {
                install_one(i, *signal)?;
            }
            install_one(SIGNALS.len(), watch_signal())?;
            install_one(SIGNALS.len() + 1, leave_signal())
        })
        .map_err(io::Error::from_raw_os_error)
}

fn install_one(i: usize, signal: libc::c_int) -> Result<(), i32> {
    let last_error = || io::Error::last_os_error().raw_os_error().unwrap_or(0);
    // SAFETY: `sigaction` is plain data for which zero is valid; the previous action is stored before ours
    // is installed, and nothing else writes `PREVIOUS` (its `Sync` argument).
    unsafe {
        let mut before = std::mem::zeroed::<libc::sigaction>();
        if libc::sigaction(signal, std::ptr::null(), &mut before) != 0 {
            return Err(last_error());
        }
        (*PREVIOUS.0.get())[i].write(before);
        let mut action = std::mem::zeroed::<libc::sigaction>();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        if signal != leave_signal() {
            action.sa_flags |= libc::SA_RESTART;
        }
        libc::sigemptyset(&mut action.sa_mask);
        // Until the thread goes on, it cannot be seen where its guest is.
        libc::sigaddset(&mut action.sa_mask, watch_signal());
        libc::sigaddset(&mut action.sa_mask, leave_signal());
        if libc::sigaction(signal, &action, std::ptr::null_mut()) != 0 {
            return Err(last_error());
        }
    }
    Ok(())
}

/// # Safety
///
/// Called by the kernel with a valid `siginfo_t` and `ucontext_t`.
unsafe extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes pointers to structures of these types, ours until we return.
    let (info, context) = unsafe { (&*info, &mut *context.cast::<libc::ucontext_t>()) };
    if signal == watch_signal() || signal == leave_signal() {
        if !watching::take(info, context) {
            // SAFETY: same signal, same arguments.
            unsafe { pass_on(signal, info, context) };
        }
        return;
    }
    // A signal that a process sent carries no address, and no instruction faulted.
    let is_raised = info.si_code > 0;
    if is_raised && is_watched_write(signal, info, context) {
        return;
    }
    let resolved = if is_raised { load_on_demand(signal, info, context) } else { Resolved::NotOurs };
    let handled = match resolved {
        Resolved::Loaded => true,
        Resolved::Refused => {
            redirect(Trap::ArtifactDamaged, 0, context);
            true
        }
        Resolved::NotOurs => is_raised && take_as_trap(signal, info, context),
    };
    if !handled {
        // SAFETY: same signal, same arguments.
        unsafe { pass_on(signal, info, context) };
    }
}

/// What an instruction that faulted was about to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    Execute,
}

/// What became of a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Resolved {
    /// The instruction can go on.
    Loaded,
    /// Guest code needs what is damaged.
    Refused,
    /// It has nothing to do with what is loaded on demand.
    NotOurs,
}

/// What an instruction that faulted was about to do: the processor's error code of a page fault.
fn access(context: &libc::ucontext_t) -> Access {
    match context.uc_mcontext.gregs[libc::REG_ERR as usize] {
        code if code & 0x10 != 0 => Access::Execute,
        code if code & 2 != 0 => Access::Write,
        _ => Access::Read,
    }
}

/// Whether it was a write to memory that is watched, and can be tried again.
fn is_watched_write(signal: libc::c_int, info: &libc::siginfo_t, context: &libc::ucontext_t) -> bool {
    // The kernel's `SEGV_ACCERR`: there is memory, and it may not be used so.
    if signal != libc::SIGSEGV || info.si_code != 2 || access(context) != Access::Write {
        return false;
    }
    // SAFETY: the kernel fills in the address of this signal when it is raised.
    let address = unsafe { info.si_addr() }.addr();
    match note_write(address) {
        Ok(is_watched) => is_watched,
        Err(error) => end_process(format_args!(
            "the kernel refused to make write-protected memory at {address:#x} writable again (error {}). \
             The process may have reached its limit on mappings (vm.max_map_count). Aborting.",
            error.raw_os_error().unwrap_or_default()
        )),
    }
}

/// If the instruction needs something that is loaded where it is first touched: loads that.
fn load_on_demand(signal: libc::c_int, info: &libc::siginfo_t, context: &mut libc::ucontext_t) -> Resolved {
    if signal != libc::SIGSEGV {
        return Resolved::NotOurs;
    }
    let access = access(context);
    let registers = &mut context.uc_mcontext.gregs;
    let pc = registers[libc::REG_RIP as usize] as usize;
    let sp = registers[libc::REG_RSP as usize] as usize;
    // SAFETY: the kernel fills in the address of this signal when it is raised.
    let address = unsafe { info.si_addr() }.addr();
    let resolved = on_demand::at(address, |source, offset| load(source, offset, access, pc, sp));
    let resolved = resolved.unwrap_or(Resolved::NotOurs);
    let begins = code_table::function_at(pc).is_none_or(|function| function.start == pc);
    if resolved == Resolved::Refused && access == Access::Execute && begins {
        // The function's first two instructions, which make its frame, in their stead: then the stack can be walked.
        let frame = sp - size_of::<usize>();
        // SAFETY: GUEST-FRAMES: guest code was about to begin a function, so that below `sp` the stack is free.
        unsafe {
            write_guest_stack(frame, registers[libc::REG_RBP as usize] as usize);
        }
        registers[libc::REG_RBP as usize] = frame as i64;
        registers[libc::REG_RSP as usize] = frame as i64;
    }
    resolved
}

/// Loads what an instruction at `pc` faulted for at an offset.
fn load(source: &OnDemand, offset: usize, access: Access, pc: usize, sp: usize) -> Resolved {
    let is_text = source.text().contains(&offset);
    let wanted = match access {
        Access::Write => return Resolved::NotOurs,
        Access::Execute if !is_text => return Resolved::NotOurs,
        // All of a function, so that code that is missing is come upon at functions' first instructions only, where it is
        // known how the stack lies.
        Access::Execute => match code_table::function_at(pc) {
            Some(function) => function.start - source.base()..function.end - source.base(),
            // A thunk is no longer than this.
            None => offset..offset + 64,
        },
        Access::Read => offset..offset + 1,
    };
    let mut loaded = Ok(());
    // The signal stack is too small for what this takes.
    // SAFETY: code that touches memory in the middle of a function has left room for the host (`HOST_RESERVE`), or is the
    // host; loading does not unwind.
    unsafe { on_stack(sp, &mut || loaded = source.load(wanted.clone())) };
    match loaded {
        Ok(()) => Resolved::Loaded,
        Err(Damaged) if code_table::is_code(pc) => Resolved::Refused,
        // The host reads zeros, but none that could be executed.
        Err(Damaged) if is_text => Resolved::NotOurs,
        Err(Damaged) => Resolved::Loaded,
    }
}

/// If a guest's instruction faulted: notes what happened in its store and redirects the thread to the
/// `fault` stub. The signal was raised by the instruction.
fn take_as_trap(signal: libc::c_int, info: &libc::siginfo_t, context: &mut libc::ucontext_t) -> bool {
    let pc = context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize;
    let sp = context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize;
    // SAFETY: only called for guest code, which leaves room for the host below its stack pointer (`HOST_RESERVE`).
    let with_stack = |call: &mut dyn FnMut()| unsafe { on_stack(sp, call) };
    let Some(trap) = code_table::trap_at(pc, with_stack) else { return false };
    if trap == Trap::ArtifactDamaged {
        redirect(trap, 0, context);
        return true;
    }
    let address = match signal {
        libc::SIGILL if code_table::is_trap_instruction(pc) => 0,
        libc::SIGFPE if matches!(trap, Trap::IntegerDivisionByZero | Trap::IntegerOverflow) => 0,
        libc::SIGSEGV | libc::SIGBUS => {
            // SAFETY: the kernel fills in the address of these signals.
            let address = unsafe { info.si_addr() }.addr();
            let fp = context.uc_mcontext.gregs[libc::REG_RBP as usize] as usize;
            // SAFETY: the thread was interrupted in guest code of the store (GUEST-FRAMES), which is alive, and which no other
            // thread changes (STORE-EXCLUSIVE).
            let place = unsafe { StoreCore::of_context(store_context_of(fp)).as_ref().fault_place(address) };
            if !place.is_expected(trap) {
                refuse_access(trap, place, address, pc);
            }
            address
        }
        // An instruction that the processor does not have, say.
        _ => return false,
    };
    redirect(trap, address, context);
    true
}

/// Aborts the process because guest code made an access that it should never make.
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

/// Notes a trap of the guest's instruction in its store, and has the thread go on in the `fault` stub. The function's frame is
/// complete.
pub(crate) fn redirect(trap: Trap, address: usize, context: &mut libc::ucontext_t) {
    let registers = &mut context.uc_mcontext.gregs;
    let fp = registers[libc::REG_RBP as usize] as usize;
    let context_of_store = store_context_of(fp);
    let store = context_of_store.as_ptr();
    // SAFETY: the instruction is guest code (GUEST-FRAMES), so this thread runs an activation of that store and the
    // context is alive; this thread alone writes it (STORE-EXCLUSIVE).
    unsafe {
        (*store).trap_pc = registers[libc::REG_RIP as usize] as usize;
        (*store).trap_fp = fp;
        (*store).trap_code = u64::from(trap.code());
        (*store).trap_address = address;
        // Whoever looks at the stack from now on takes it for a call at this instruction.
        (*store).exit_pc = (*store).trap_pc + 1;
        (*store).exit_fp = fp;
        (*store).exit_callee = 0;
    }
    // Below the frame of the guest function there is nothing it still needs.
    let sp = (registers[libc::REG_RSP as usize] as usize - 128) & !15;
    registers[libc::REG_RSP as usize] = sp as i64;
    registers[libc::REG_RDI as usize] = context_of_store.address() as i64;
    registers[libc::REG_RIP as usize] = fault_address() as i64;
}

/// The store whose activation the guest frame at `fp` belongs to: walks to the entry stub's frame.
fn store_context_of(mut fp: usize) -> VmPtr<StoreContext> {
    loop {
        // SAFETY: GUEST-FRAMES: `fp` is the frame pointer of a live guest frame, so the caller's frame
        // pointer and the return address lie at it.
        let (caller, pc) = unsafe { (read_guest_stack(fp), read_guest_stack(fp + 8)) };
        if pc == returned_address() {
            // SAFETY: ACTIVATION-RECORD: the caller is the entry stub, whose record names its store.
            return unsafe { store_of(caller) };
        }
        fp = caller;
    }
}

/// Does what would have been done without us.
///
/// # Safety
///
/// With the arguments that the kernel gave the handler.
unsafe fn pass_on(signal: libc::c_int, info: &libc::siginfo_t, context: &mut libc::ucontext_t) {
    let asks = SIGNALS.len() + usize::from(signal == leave_signal());
    let i = SIGNALS.iter().position(|s| *s == signal).unwrap_or(asks);
    // SAFETY: `install` wrote this element before our handler could run; what is called is a handler that
    // was installed for this very signal and gets the arguments it was installed to get.
    unsafe {
        let before = (*PREVIOUS.0.get())[i].assume_init_ref();
        match before.sa_sigaction {
            libc::SIG_IGN if info.si_code <= 0 => {}
            libc::SIG_DFL | libc::SIG_IGN => {
                // The instruction runs again and the kernel acts. A signal that was sent, not raised, is
                // sent again.
                libc::sigaction(signal, before, std::ptr::null_mut());
                if info.si_code <= 0 {
                    libc::raise(signal);
                }
            }
            handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(libc::c_int, *const libc::siginfo_t, *mut libc::ucontext_t) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
                end_if_given_up(signal, info);
            }
            handler => {
                let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
                handler(signal);
                end_if_given_up(signal, info);
            }
        }
    }
}

/// Raises a sent signal again if the previous handler reset its disposition to the default. Such a handler, Rust's own for example,
/// expects the faulting instruction to run again and the default action to end the process; for a sent signal nothing faults again.
fn end_if_given_up(signal: libc::c_int, info: &libc::siginfo_t) {
    if info.si_code > 0 || !SIGNALS.contains(&signal) {
        return;
    }
    // SAFETY: `sigaction` is plain data for which zero is valid; nothing is changed.
    unsafe {
        let mut now = std::mem::zeroed::<libc::sigaction>();
        if libc::sigaction(signal, std::ptr::null(), &mut now) == 0 && now.sa_sigaction == libc::SIG_DFL {
            libc::raise(signal);
        }
    }
}
