//! Threads that run guests, and the store that each is running.
//!
//! A thread gets a record when it first enters a guest, and returns it when it ends. Records are never freed, since
//! signal handlers and other threads read them.

use crate::machine::NativeStack;
use crate::sys::thread_id;
use std::cell::Cell;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::*};
use std::sync::{Mutex, MutexGuard};

/// A thread that has entered a guest.
#[derive(Debug, Default)]
pub(crate) struct GuestThread {
    /// Its number in the kernel; 0 once it has ended.
    id: AtomicI32,
    /// [`GuestThread::idle`].
    idle: AtomicUsize,
    /// The lowest address that guest code may use on the stack that it is on; 1 if it is unknown.
    stack_floor: AtomicUsize,
    /// The same for the thread's own stack.
    own_stack_floor: AtomicUsize,
    /// The number by which signal handlers know the store that it entered last and has not left
    /// ([`crate::store_monitor::StoreMonitor::of_subject`]), which is even; otherwise the value of `idle`.
    current: AtomicUsize,
}

/// All records.
#[derive(Default)]
pub(crate) struct GuestThreads {
    pub(crate) running: Vec<&'static GuestThread>,
    unused: Vec<&'static GuestThread>,
}

static ALL: Mutex<GuestThreads> = Mutex::new(GuestThreads { running: Vec::new(), unused: Vec::new() });

thread_local! {
    static THIS: Cell<&'static GuestThread> = const { Cell::new(&NO_RECORD) };
}

/// The [`GuestThread::idle`] of no thread.
pub(crate) const NO_THREAD: usize = 1;
/// For a store that no thread has entered: it is also no thread's.
pub(crate) const NEVER_ENTERED: usize = 3;

/// The record of threads that have none yet, or none any more. It never changes.
static NO_RECORD: GuestThread = GuestThread {
    id: AtomicI32::new(0),
    idle: AtomicUsize::new(NO_THREAD),
    stack_floor: AtomicUsize::new(1),
    own_stack_floor: AtomicUsize::new(1),
    current: AtomicUsize::new(NO_THREAD),
};

/// Locks all records. Meanwhile no thread begins or ends to run guests.
pub(crate) fn all() -> MutexGuard<'static, GuestThreads> {
    ALL.lock().unwrap_or_else(|e| e.into_inner())
}

/// Updates the records in a forked child: it has no other thread, and this one has another number. Returns this
/// thread's record, if it has one.
pub(crate) fn keep_only_current(all: &mut GuestThreads) -> Option<&'static GuestThread> {
    let this = GuestThread::known();
    let is_this = |thread: &&GuestThread| this.is_some_and(|this| std::ptr::eq(this, *thread));
    for gone in all.running.extract_if(.., |thread| !is_this(&&**thread)) {
        gone.id.store(0, Release);
        all.unused.push(gone);
    }
    if let Some(this) = this {
        this.id.store(thread_id(), Release);
    }
    this
}

impl GuestThreads {
    /// Takes a record for the current thread, which has none.
    pub(crate) fn add_this(&mut self, stack: NativeStack) -> &'static GuestThread {
        let this = self.unused.pop().unwrap_or_else(|| Box::leak(Box::default()));
        this.stack_floor.store(stack.floor(), Relaxed);
        this.own_stack_floor.store(stack.floor(), Relaxed);
        static NEXT: AtomicUsize = AtomicUsize::new(NEVER_ENTERED + 2);
        this.idle.store(NEXT.fetch_add(2, Relaxed), Relaxed);
        this.current.store(this.idle(), Relaxed);
        this.id.store(thread_id(), Release);
        THIS.set(this);
        self.running.push(this);
        this
    }

    /// Takes back the record of a thread that ends.
    pub(crate) fn remove(&mut self, ended: &'static GuestThread) {
        self.running.retain(|thread| !std::ptr::eq(*thread, ended));
        ended.id.store(0, Release);
        self.unused.push(ended);
    }
}

/// Detaches the record from the current thread, which is ending.
pub(crate) fn forget_this() {
    THIS.set(&NO_RECORD);
}

impl GuestThread {
    /// Returns the current thread's record, if it has one.
    pub(crate) fn known() -> Option<&'static Self> {
        let this = THIS.get();
        (this.idle() != NO_THREAD).then_some(this)
    }

    /// Returns the current thread's record if it is in no guest and `idle` is its [`GuestThread::idle`].
    #[inline]
    pub(crate) fn if_idle(idle: usize) -> Option<&'static Self> {
        let this = THIS.get();
        (this.current.load(Relaxed) == idle).then_some(this)
    }

    /// Returns its number in the kernel; 0 once it has ended.
    pub(crate) fn id(&self) -> i32 {
        self.id.load(Acquire)
    }

    /// Returns an odd number that distinguishes the thread from all others of the process, including those that had the
    /// record before.
    #[inline]
    pub(crate) fn idle(&self) -> usize {
        self.idle.load(Relaxed)
    }

    /// Returns the stack that it is on.
    #[inline]
    pub(crate) fn stack(&self) -> NativeStack {
        NativeStack::above(self.stack_floor.load(Relaxed))
    }

    /// Records that it continues on another stack. Returns the one that it was on. Only its own thread calls this.
    pub(crate) fn switch_stack(&self, to: NativeStack) -> NativeStack {
        NativeStack::above(self.stack_floor.swap(to.floor(), Relaxed))
    }

    /// Returns whether it is on the stack that it was started with.
    #[inline]
    pub(crate) fn is_on_own_stack(&self) -> bool {
        self.stack_floor.load(Relaxed) == self.own_stack_floor.load(Relaxed)
    }

    /// Returns the number of the store whose guest it entered last and has not left; 0 if there is none.
    #[inline]
    pub(crate) fn current(&self) -> usize {
        let current = self.current.load(Acquire);
        if current.is_multiple_of(2) { current } else { 0 }
    }

    /// Records which store's guest it is in from now on. Only its own thread calls this.
    #[inline]
    pub(crate) fn set_current(&self, subject: usize) {
        self.current.store(subject, Release);
    }

    /// Records that it is in no guest. `idle` is its [`GuestThread::idle`]. Only its own thread calls this.
    #[inline]
    pub(crate) fn set_idle(&self, idle: usize) {
        self.current.store(idle, Release);
    }
}
