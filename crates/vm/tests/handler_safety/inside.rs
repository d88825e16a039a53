//! Which threads are in the handler.
//!
//! Threads are identified by their number in the kernel: a thread-local would itself be something that the handler must
//! not touch.

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};

static THREADS: [AtomicI32; 16] = [const { AtomicI32::new(0) }; 16];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Marks the current thread as being in the handler, until it is dropped.
pub(crate) struct Inside(&'static AtomicI32);

impl Inside {
    pub(crate) fn enter() -> Self {
        let id = thread_id();
        let place = THREADS.iter().find(|place| place.compare_exchange(0, id, SeqCst, SeqCst).is_ok());
        let Some(place) = place else { fail("has more threads in it than the test counts") };
        COUNT.fetch_add(1, SeqCst);
        Self(place)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, SeqCst);
        self.0.store(0, SeqCst);
    }
}

pub(crate) fn thread_id() -> i32 {
    // SAFETY: a call without arguments that always succeeds.
    unsafe { libc::gettid() }
}

/// Ends the process if the current thread is in the handler and does something forbidden.
pub(crate) fn forbid(what: &'static str) {
    // Usually no thread is in the handler, and this check costs no system call.
    if COUNT.load(SeqCst) > 0 {
        let id = thread_id();
        if THREADS.iter().any(|thread| thread.load(SeqCst) == id) {
            fail(what);
        }
    }
}

fn fail(what: &'static str) -> ! {
    for part in ["the handler ", what, "\n"] {
        // SAFETY: the call reads exactly the bytes of the text.
        unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
    }
    // SAFETY: async-signal-safe, as the call above is.
    unsafe { libc::abort() }
}
