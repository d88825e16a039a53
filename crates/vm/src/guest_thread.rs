//! Threads that run guests: which they are, and the store that each is running.
//!
//! A thread gets a record when it first enters a guest, and gives it back when it ends. Records are never freed, as signal
//! handlers and other threads look at them.

use crate::sampling;
use crate::sys::{stack_floor, thread_id};
use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::*};
use std::sync::{Mutex, MutexGuard};

/// A thread that has entered a guest.
#[derive(Debug, Default)]
pub(crate) struct GuestThread {
    /// Its number in the kernel; 0 when it has ended.
    id: AtomicI32,
    /// The lowest address that guest code may use on its stack; 1 where it cannot be found out.
    stack_floor: AtomicUsize,
    /// Address of the [`crate::watched::Watched`] of the store that it entered last and has not left; 0 if there is none.
    current: AtomicUsize,
}

/// Records.
#[derive(Default)]
pub(crate) struct GuestThreads {
    pub(crate) running: Vec<&'static GuestThread>,
    unused: Vec<&'static GuestThread>,
}

static ALL: Mutex<GuestThreads> = Mutex::new(GuestThreads { running: Vec::new(), unused: Vec::new() });

thread_local! {
    static THIS: Cell<Option<&'static GuestThread>> = const { Cell::new(None) };
    static END: OnceCell<End> = const { OnceCell::new() };
}

/// Gives a thread's record back when the thread ends.
struct End(&'static GuestThread);

impl Drop for End {
    fn drop(&mut self) {
        THIS.set(None);
        let mut all = all();
        sampling::thread_ends(self.0);
        all.running.retain(|thread| !std::ptr::eq(*thread, self.0));
        self.0.id.store(0, Release);
        all.unused.push(self.0);
    }
}

/// All records. While they are held, no thread begins or ends to run guests.
pub(crate) fn all() -> MutexGuard<'static, GuestThreads> {
    ALL.lock().unwrap_or_else(|e| e.into_inner())
}

/// In a forked child: no other thread has come along, and this one has another number. Its record, if it has one.
pub(crate) fn only_this_is_left(all: &mut GuestThreads) -> Option<&'static GuestThread> {
    let this = THIS.get();
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

impl GuestThread {
    /// The current thread's record.
    #[inline]
    pub(crate) fn this() -> &'static Self {
        THIS.get().unwrap_or_else(Self::first)
    }

    #[cold]
    fn first() -> &'static Self {
        let mut all = all();
        let this = all.unused.pop().unwrap_or_else(|| Box::leak(Box::default()));
        this.stack_floor.store(stack_floor(), Relaxed);
        this.current.store(0, Relaxed);
        this.id.store(thread_id(), Release);
        THIS.set(Some(this));
        // Of a thread that is ending already nothing is given back.
        let _ = END.try_with(|end| end.set(End(this)));
        all.running.push(this);
        sampling::thread_begins(this);
        this
    }

    /// Its number in the kernel; 0 when it has ended.
    pub(crate) fn id(&self) -> i32 {
        self.id.load(Acquire)
    }

    /// The lowest address that guest code may use on its stack.
    #[inline]
    pub(crate) fn stack_floor(&self) -> usize {
        self.stack_floor.load(Relaxed)
    }

    /// What it runs: see [`GuestThread::current`].
    #[inline]
    pub(crate) fn current(&self) -> usize {
        self.current.load(Acquire)
    }

    /// Notes what it runs from now on. Its own thread alone calls this.
    #[inline]
    pub(crate) fn set_current(&self, watched: usize) {
        self.current.store(watched, Release);
    }
}
