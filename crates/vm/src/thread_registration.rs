//! When threads get their [`GuestThread`] record, and return it.

use crate::guest_thread::{self, GuestThread};
use crate::machine::NativeStack;
use crate::sampling;
use crate::sys::stack_floor;
use std::cell::OnceCell;

thread_local! {
    static END: OnceCell<End> = const { OnceCell::new() };
}

/// Returns a thread's record when the thread ends.
struct End(&'static GuestThread);

impl Drop for End {
    fn drop(&mut self) {
        guest_thread::forget_this();
        let mut all = guest_thread::all();
        sampling::thread_ends(self.0);
        all.remove(self.0);
    }
}

/// Returns the current thread's record.
pub(crate) fn this_thread() -> &'static GuestThread {
    GuestThread::known().unwrap_or_else(register)
}

#[cold]
fn register() -> &'static GuestThread {
    let mut all = guest_thread::all();
    let this = all.add_this(NativeStack::above(stack_floor()));
    // A thread that is already ending does not return its record.
    let _ = END.try_with(|end| end.set(End(this)));
    sampling::thread_begins(this);
    this
}
