//! Records which instructions a call executes: the processor's trap flag raises a signal after each.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// A signal handler.
pub(crate) type Handler = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// A hash table of the executed addresses, with room for far more instructions than a handler has.
static EXECUTED: [AtomicUsize; ROOM] = [const { AtomicUsize::new(0) }; ROOM];
const ROOM: usize = 1 << 16;
static COUNT: AtomicU64 = AtomicU64::new(0);

fn note(address: usize) {
    COUNT.fetch_add(1, Relaxed);
    let hash = address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    for i in 0..ROOM {
        let place = &EXECUTED[(hash + i) % ROOM];
        match place.load(Relaxed) {
            0 => return place.store(address, Relaxed),
            known if known == address => return,
            _ => {}
        }
    }
}

/// Returns how many instructions were stepped.
pub(crate) fn count() -> u64 {
    COUNT.load(Relaxed)
}

/// Returns the executed addresses in ascending order, and clears the table.
pub(crate) fn take() -> Vec<usize> {
    let mut taken: Vec<usize> = EXECUTED.iter().map(|place| place.swap(0, Relaxed)).collect();
    taken.retain(|address| *address != 0);
    assert!(taken.len() < ROOM, "there was no room for all instructions");
    taken.sort_unstable();
    taken
}

unsafe extern "C" fn on_step(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a context.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    note(context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize);
}

/// Installs the handler of the signal.
pub(crate) fn install() {
    // SAFETY: the handler has the type that SA_SIGINFO requires.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        action.sa_sigaction = on_step as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigfillset(&mut action.sa_mask);
        assert_eq!(libc::sigaction(libc::SIGTRAP, &action, std::ptr::null_mut()), 0);
    }
}

/// Calls a handler, and records each instruction.
///
/// # Safety
///
/// The handler may be called with these arguments; [`install`] was called.
pub(crate) unsafe fn stepped(
    handler: Handler,
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    // SAFETY: the caller's promise. The flags are on the stack only for a moment, and are restored in the end.
    unsafe {
        std::arch::asm!(
            "pushfq",
            "or qword ptr [rsp], 0x100",
            "popfq",
            "call {handler}",
            "pushfq",
            "and qword ptr [rsp], -0x101",
            "popfq",
            handler = in(reg) handler,
            in("rdi") signal,
            in("rsi") info,
            in("rdx") context,
            clobber_abi("C"),
        );
    }
}
