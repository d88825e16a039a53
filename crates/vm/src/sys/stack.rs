//! Native stacks: how far the current thread's reaches, and running on another.

/// Bytes above a thread's stack end that guest code leaves to the host functions that it calls, and to
/// signal handlers.
const HOST_RESERVE: usize = 128 << 10;

/// The current thread's number in the kernel. Async-signal-safe.
pub fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// The lowest address that guest code may use on the current thread's stack; 1 where it cannot be found out.
pub(crate) fn stack_floor() -> usize {
    stack_end().map_or(1, |end| end + HOST_RESERVE)
}

/// The lowest address of the current thread's stack.
fn stack_end() -> Option<usize> {
    // SAFETY: `pthread_getattr_np` initialises the attributes that it returns 0 for; they are read once and
    // destroyed. `pthread_self` always names the calling thread.
    unsafe {
        let mut attr = std::mem::zeroed::<libc::pthread_attr_t>();
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attr) != 0 {
            return None;
        }
        let (mut base, mut size) = (std::ptr::null_mut(), 0);
        let found = libc::pthread_attr_getstack(&attr, &mut base, &mut size) == 0;
        libc::pthread_attr_destroy(&mut attr);
        found.then(|| base.addr())
    }
}

/// Calls a function on a stack whose free part ends at `sp`, with all signals blocked: the kernel would take the signal stack,
/// which the caller is on, for free. Async-signal-safe.
///
/// # Safety
///
/// Below `sp - 128` lies free stack, as much of it as `call` needs; `call` does not unwind.
pub(crate) unsafe fn on_stack(sp: usize, call: &mut dyn FnMut()) {
    extern "C" fn trampoline(call: *mut &mut dyn FnMut()) {
        // SAFETY: it points to a parameter of the function below, which waits for this one.
        unsafe { (*call)() }
    }
    let mut call: &mut dyn FnMut() = call;
    let top = (sp - 128) & !15;
    // SAFETY: the signal sets are plain data, filled in before they are used. The assembly gives the stack pointer back
    // as it was, and calls with the alignment that the convention wants; the stack is the caller's promise.
    unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        let mut before = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
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
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
    }
}
