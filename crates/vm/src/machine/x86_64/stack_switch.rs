//! Runs a function on another part of the stack, from a signal handler.

use crate::sys::with_signals_blocked;

/// Calls a function on the stack whose free part ends at `sp`, with all signals blocked: otherwise the kernel could use
/// the signal stack, which the caller runs on, for another signal. Async-signal-safe.
///
/// # Safety
///
/// The stack is free below `sp - 128`, for as much as `call` needs; `call` does not unwind.
pub(crate) unsafe fn on_stack(sp: usize, call: &mut dyn FnMut()) {
    extern "C" fn trampoline(call: *mut &mut dyn FnMut()) {
        // SAFETY: the pointer is to a parameter of the function below, which waits for this one.
        unsafe { (*call)() }
    }
    let mut call: &mut dyn FnMut() = call;
    let top = (sp - 128) & !15;
    with_signals_blocked(|| {
        // SAFETY: the assembly restores the stack pointer, and aligns it for the call as the convention requires; the
        // stack is the caller's promise.
        unsafe {
            std::arch::asm!(
                "mov r12, rsp",
                "mov rsp, {top}",
                "call {trampoline}",
                "mov rsp, r12",
                top = in(reg) top,
                trampoline = sym trampoline,
                in("rdi") &raw mut call,
                out("r12") _,
                clobber_abi("C"),
            );
        }
    });
}
