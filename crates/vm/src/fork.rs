//! Support for hosts that fork worker processes after compilation.
//!
//! In: a call of `fork`. Out: services that work in the child: threads that existed in the parent are started again
//! when needed, and thread numbers are updated. A guest that ran on the forking thread must not continue twice: in the
//! child it ends when the host would return to it. Never: a wait for a thread that does not exist.
//!
//! Locks that are only held for moments are taken before the fork, so that the child finds the data that they guard
//! consistent. Locks of stores are not taken: the embedder must ensure that no other thread uses an engine during a
//! fork.

use crate::guest_thread::{self, GuestThread, GuestThreads};
use crate::kill::{self, ReaperGuard};
use crate::machine::{self, FreeSlots};
use crate::on_demand::{self, KeeperGuard};
use crate::run_limits::{self, TimerGuard};
use crate::sampling::{self, SessionGuard};
use crate::{store_monitor, sys};
use std::any::Any;
use std::cell::RefCell;
use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The locks that are held while the process forks, in the order in which they are taken.
struct HeldLocks {
    _others: Vec<Box<dyn Any>>,
    threads: MutexGuard<'static, GuestThreads>,
    slots: FreeSlots,
    reaper: ReaperGuard,
    timer: TimerGuard,
    keeper: KeeperGuard,
    sampling: SessionGuard,
}

/// Takes a lock, which is held while the result lives.
type LockHook = fn() -> Box<dyn Any>;

static HOLDERS: Mutex<Vec<LockHook>> = Mutex::new(Vec::new());

/// Registers a lock of another crate that is taken before each fork and released after it, in parent and child.
pub fn hold_while_forking(hold: LockHook) {
    HOLDERS.lock().unwrap_or_else(PoisonError::into_inner).push(hold);
}

thread_local! {
    static HELD: RefCell<Option<HeldLocks>> = const { RefCell::new(None) };
}

/// Registers the fork handlers, once per process.
pub(crate) fn install() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let install = || {
        sys::generation();
        sys::at_fork(prepare, parent, child).map_err(|error| error.raw_os_error().unwrap_or(0))
    };
    INSTALLED.get_or_init(install).map_err(io::Error::from_raw_os_error)
}

extern "C" fn prepare() {
    let holders = HOLDERS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let held = HeldLocks {
        _others: holders.iter().map(|hold| hold()).collect(),
        threads: guest_thread::all(),
        slots: machine::lock_free_slots(),
        reaper: kill::reaper(),
        timer: run_limits::timer(),
        keeper: on_demand::keeper(),
        sampling: sampling::current(),
    };
    let _ = HELD.try_with(|slot| slot.replace(Some(held)));
}

extern "C" fn parent() {
    let _ = HELD.try_with(RefCell::take);
}

extern "C" fn child() {
    let Some(mut held) = HELD.try_with(RefCell::take).ok().flatten() else { return };
    held.slots.reset_after_fork();
    held.reaper.reset_after_fork();
    held.timer.reset_after_fork();
    let kept = held.keeper.take_all();
    sampling::forget_session(&mut held.sampling);
    let this = guest_thread::keep_only_current(&mut held.threads);
    drop(held);
    // No thread of this process would otherwise keep the files from being changed.
    kept.iter().for_each(|source| source.complete());
    if let Some(this) = this {
        end_running_guests(this);
    }
}

/// Requests the end of the guests that run on the thread, each in a host function of the next.
fn end_running_guests(thread: &GuestThread) {
    let mut subject = thread.current();
    while subject != 0 {
        // SAFETY: the thread runs this store's guest, which keeps it alive.
        let monitor = unsafe { store_monitor::StoreMonitor::of_subject(subject) };
        let why = "the process was forked while the guest ran: it continues only in the parent";
        monitor.request_kill(why.into(), None);
        subject = monitor.outer();
    }
}
