//! The current thread: its number, and the extent of its stack.

/// Bytes above the end of a thread's stack that guest code leaves for the host functions that it calls and for signal
/// handlers.
pub(crate) const HOST_RESERVE: usize = 128 << 10;

/// Returns the current thread's number in the kernel. Async-signal-safe.
pub fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Returns the lowest address that guest code may use on the current thread's stack; 1 if it is unknown.
pub(crate) fn stack_floor() -> usize {
    stack_end().map_or(1, |end| end + HOST_RESERVE)
}

/// Returns the lowest address of the current thread's stack.
fn stack_end() -> Option<usize> {
    // SAFETY: `pthread_getattr_np` initialises the attributes if it returns 0; they are read once and destroyed.
    // `pthread_self` always names the calling thread.
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
