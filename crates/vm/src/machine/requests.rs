//! Requests to the signal handler of another thread: report where its guest is, or leave its guest.
//!
//! The requester fills in a [`Slot`], sends the thread a real-time signal that names the slot, and waits. The handler
//! on that thread answers ([`Handlers::answer`](super::Handlers::answer)). It takes no lock, allocates nothing and touches no thread-local. A
//! [`SlotState`] records which side owns the slot; neither side touches a slot that it does not own.

use super::processor::Context;
use super::slot_state::{Generation, SlotState};
use crate::sys::{Signal, leave_signal, queue_signal, walk_signal};
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The largest number of frames and host calls in an answer. Only the innermost are kept.
pub(crate) const FRAMES: usize = 256;

/// A request and its answer.
pub(crate) struct Slot {
    /// Which side owns the slot.
    state: SlotState,
    /// The number by which the handler knows the subject of the request. It is alive until the request is answered or
    /// given up.
    pub(crate) subject: AtomicUsize,
    /// A [`Request`].
    request: AtomicU32,
    pub(crate) answer: Answer,
}

/// What a thread is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    /// Report where its guest is.
    Walk = 0,
    /// Leave its guest.
    Leave = 1,
}

/// What the handler found.
pub(crate) struct Answer {
    /// One of the states that [`store_monitor`](crate::store_monitor) defines.
    pub(crate) found: AtomicU32,
    /// When the thread called the host function that it is in, by the clock of [`crate::sys::coarse_time`]; 0 if
    /// unknown.
    pub(crate) host_since: AtomicU64,
    /// The number of entries on the stack, including those that did not fit into `found_on_stack`.
    pub(crate) count: AtomicUsize,
    /// The entries on the stack ([`super::StackWord`]), innermost first.
    pub(crate) found_on_stack: [AtomicU64; FRAMES],
}

/// How long the requester spins for the answer before it sleeps. Most running threads answer sooner.
const SPIN: Duration = Duration::from_micros(50);

/// The number of requests that can be open at once.
const SLOTS: usize = 16;

static ALL: [Slot; SLOTS] = [const {
    Slot {
        state: SlotState::new(),
        subject: AtomicUsize::new(0),
        request: AtomicU32::new(0),
        answer: Answer {
            found: AtomicU32::new(0),
            host_since: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            found_on_stack: [const { AtomicU64::new(0) }; FRAMES],
        },
    }
}; SLOTS];

/// Slots that are not in use.
static UNUSED: Mutex<Option<Vec<usize>>> = Mutex::new(None);
static MORE_UNUSED: Condvar = Condvar::new();

/// The free slots, locked: no thread can take or return one meanwhile.
pub(crate) struct FreeSlots(MutexGuard<'static, Option<Vec<usize>>>);

pub(crate) fn lock_free_slots() -> FreeSlots {
    FreeSlots(UNUSED.lock().unwrap_or_else(|e| e.into_inner()))
}

impl FreeSlots {
    /// Frees all slots, in a forked child: neither a requester nor a thread that would answer exists there.
    pub(crate) fn reset_after_fork(&mut self) {
        for slot in &ALL {
            slot.state.reset();
        }
        *self.0 = Some((0..SLOTS).collect());
    }
}

/// A slot that only the caller uses.
struct Taken(usize);

impl Taken {
    fn new(until: Instant) -> io::Result<Self> {
        let mut unused = UNUSED.lock().unwrap_or_else(|e| e.into_inner());
        loop {
            if let Some(i) = unused.get_or_insert_with(|| (0..SLOTS).collect()).pop() {
                return Ok(Self(i));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            unused = MORE_UNUSED.wait_timeout(unused, left).unwrap_or_else(|e| e.into_inner()).0;
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut unused = UNUSED.lock().unwrap_or_else(|e| e.into_inner());
        unused.get_or_insert_default().push(self.0);
        MORE_UNUSED.notify_one();
    }
}

/// Sends a thread a request about a subject, and passes the answer to `read`.
///
/// # Errors
///
/// Returns `TimedOut` if the thread does not answer in time, and `NotFound` if no thread has this number.
///
/// # Safety
///
/// `subject` is the number of a `StoreMonitor` that lives until this returns.
pub(crate) unsafe fn send_request<R>(
    thread: i32,
    subject: usize,
    request: Request,
    timeout: Duration,
    read: impl FnOnce(&Answer) -> R,
) -> io::Result<R> {
    let until = Instant::now() + timeout;
    let taken = Taken::new(until)?;
    let slot = &ALL[taken.0];
    slot.subject.store(subject, Relaxed);
    slot.request.store(request as u32, Relaxed);
    let generation = slot.state.send();
    let signal = match request {
        Request::Walk => walk_signal(),
        Request::Leave => leave_signal(),
    };
    if let Err(error) = queue_signal(thread, signal, value_of(taken.0, generation)) {
        // No handler knows of the request.
        slot.state.end(generation);
        return Err(error);
    }
    // Waking the requester costs the answering thread more than everything else.
    let patience = Instant::now() + SPIN;
    while !slot.state.is_answered(generation) && Instant::now() < patience {
        std::hint::spin_loop();
    }
    let is_answered = slot.state.wait(generation, || until.saturating_duration_since(Instant::now()));
    let answer = is_answered.then(|| read(&slot.answer));
    slot.state.end(generation);
    answer.ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// Returns the value that the signal of a request carries.
fn value_of(slot: usize, generation: Generation) -> u64 {
    u64::from(generation.0) << 32 | slot as u64
}

/// Finds the answer to a request about the subject with this number.
///
/// Safety contract: the subject is alive.
pub(super) type Find = unsafe fn(usize, Request, &mut Context, &Answer);

/// Answers the request if it is ours and was not given up. Returns `false` if the signal is not ours.
/// Async-signal-safe.
pub(super) fn answer(find: Find, signal: Signal<'_>, context: &mut Context) -> bool {
    let Some(value) = signal.value() else { return false };
    let Some(slot) = ALL.get(value as u32 as usize) else { return false };
    let generation = Generation((value >> 32) as u32);
    if !slot.state.begin_answer(generation) {
        return true;
    }
    let request =
        if slot.request.load(Relaxed) == Request::Leave as u32 { Request::Leave } else { Request::Walk };
    // SAFETY: the subject lives until the request is answered: the requester waits, now that the answer has begun.
    unsafe { find(slot.subject.load(Relaxed), request, context, &slot.answer) };
    slot.state.end_answer(generation);
    true
}
