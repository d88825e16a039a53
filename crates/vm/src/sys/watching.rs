//! The signal with which a thread is asked where its guest is.
//!
//! The asking side fills in a [`Slot`], sends the thread a real-time signal that names it, and waits. The handler answers with
//! what [`crate::store_monitor`] finds. It takes no lock, allocates nothing and touches no thread-local. Whose a slot is says its
//! [`Question`]: what was given up by the one side is never touched by the other.
//!
//! Timers of CPU time send the same signal ([`crate::sampling`]).

use super::question::{Question, Round};
use crate::{sampling, store_monitor};
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What a signal handler is given of the thread that was interrupted.
pub type SignalContext = libc::ucontext_t;

/// Registers of a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) pc: usize,
    pub(crate) sp: usize,
    pub(crate) fp: usize,
    pub(crate) rcx: usize,
    pub(crate) rsi: usize,
    pub(crate) rdi: usize,
}

impl Registers {
    pub(crate) fn of(context: &SignalContext) -> Self {
        let register = |i: libc::c_int| context.uc_mcontext.gregs[i as usize] as usize;
        Self {
            pc: register(libc::REG_RIP),
            sp: register(libc::REG_RSP),
            fp: register(libc::REG_RBP),
            rcx: register(libc::REG_RCX),
            rsi: register(libc::REG_RSI),
            rdi: register(libc::REG_RDI),
        }
    }
}

impl Registers {
    /// Changes the frame and stack pointers with which a thread goes on.
    pub(crate) fn set_frame(context: &mut SignalContext, fp: usize, sp: usize) {
        context.uc_mcontext.gregs[libc::REG_RBP as usize] = fp as i64;
        context.uc_mcontext.gregs[libc::REG_RSP as usize] = sp as i64;
    }
}

/// Frames and host calls that an answer holds at most: the innermost.
pub(crate) const FRAMES: usize = 256;

/// The signal. Whoever uses it for something else in the same process still gets what is not ours.
pub(crate) fn watch_signal() -> libc::c_int {
    libc::SIGRTMIN() + 5
}

/// The signal of questions that ask a thread to leave its guest: one that ends waits in the kernel, which the other does not.
pub(crate) fn leave_signal() -> libc::c_int {
    libc::SIGRTMIN() + 6
}

/// A question and its answer.
pub(crate) struct Slot {
    /// Whose turn it is.
    question: Question,
    /// Address of what is asked about: a [`crate::store_monitor::StoreMonitor`], alive until the question is answered or given up.
    pub(crate) subject: AtomicUsize,
    /// A [`Request`].
    request: AtomicU32,
    pub(crate) answer: Answer,
}

/// What a thread is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    /// To tell where its guest is.
    Look = 0,
    /// To leave its guest.
    Leave = 1,
}

/// What the handler found.
pub(crate) struct Answer {
    /// One of [`monitor`]'s states.
    pub(crate) found: AtomicU32,
    /// When it called the host function that it is in, by the clock of [`super::coarse_time`]; 0 where that is not known.
    pub(crate) host_since: AtomicU64,
    /// All of it, also what is not in `found_on_stack`.
    pub(crate) count: AtomicUsize,
    /// What is on the stack ([`crate::signal_walk::Found`]), innermost first.
    pub(crate) found_on_stack: [AtomicU64; FRAMES],
}

/// How long whoever asks looks for the answer without sleeping: most threads that run answer sooner.
const SPIN: Duration = Duration::from_micros(50);

/// Questions that can be open at once.
const SLOTS: usize = 16;

static ALL: [Slot; SLOTS] = [const {
    Slot {
        question: Question::new(),
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

/// Slots that nobody uses.
static UNUSED: Mutex<Option<Vec<usize>>> = Mutex::new(None);
static MORE_UNUSED: Condvar = Condvar::new();

/// Slots that nobody uses, while nobody can take or give back one.
pub(crate) struct Questions(MutexGuard<'static, Option<Vec<usize>>>);

pub(crate) fn questions() -> Questions {
    Questions(UNUSED.lock().unwrap_or_else(|e| e.into_inner()))
}

impl Questions {
    /// In a forked child, where nobody who asked or was to answer is left.
    pub(crate) fn forget_all(&mut self) {
        for slot in &ALL {
            slot.question.forget();
        }
        *self.0 = Some((0..SLOTS).collect());
    }
}

/// A slot that the caller alone uses.
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

/// Asks a thread about the subject at an address, and hands the answer to `read`.
///
/// # Errors
///
/// `TimedOut` where the thread does not answer in time; `NotFound` where there is none of this number.
///
/// # Safety
///
/// `subject` is the number of a `StoreMonitor`, which lives until this returns.
pub(crate) unsafe fn ask<R>(
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
    let round = slot.question.ask();
    let signal = match request {
        Request::Look => watch_signal(),
        Request::Leave => leave_signal(),
    };
    if let Err(error) = send(thread, signal, Value { slot: taken.0 as u32, round }) {
        // Nobody else knows of the question.
        slot.question.end(round);
        return Err(error);
    }
    // To be woken costs the thread that answers more than all else.
    let patience = Instant::now() + SPIN;
    while !slot.question.is_answered(round) && Instant::now() < patience {
        std::hint::spin_loop();
    }
    let is_answered = slot.question.wait(round, || until.saturating_duration_since(Instant::now()));
    let answer = is_answered.then(|| read(&slot.answer));
    slot.question.end(round);
    answer.ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// What the signal carries.
#[derive(Clone, Copy)]
#[repr(C)]
struct Value {
    slot: u32,
    round: Round,
}

/// `siginfo_t` of a signal that was queued with a value.
#[repr(C)]
struct Queued {
    signal: i32,
    error: i32,
    code: i32,
    padding: i32,
    pid: i32,
    uid: u32,
    value: Value,
    rest: [u64; 12],
}

const _: () = assert!(size_of::<Queued>() == size_of::<libc::siginfo_t>());

/// Sends one thread of this process a signal.
fn send(thread: i32, signal: libc::c_int, value: Value) -> io::Result<()> {
    // SAFETY: calls without arguments that always succeed.
    let (pid, uid) = unsafe { (libc::getpid(), libc::getuid()) };
    let info = Queued { signal, error: 0, code: libc::SI_QUEUE, padding: 0, pid, uid, value, rest: [0; 12] };
    // SAFETY: the request reads the structure, which is as large as it expects; our handler is installed.
    let result = unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, pid, thread, signal, &raw const info) };
    match result {
        0 => Ok(()),
        _ => Err(match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => io::ErrorKind::NotFound.into(),
            error => error,
        }),
    }
}

/// Codes of signals about descriptors.
const POLL_IN: libc::c_int = 1;
const POLL_HUP: libc::c_int = 6;

/// `siginfo_t` of a timer's signal.
#[repr(C)]
struct Fired {
    signal: i32,
    error: i32,
    code: i32,
    padding: i32,
    timer: i32,
    overrun: i32,
    rest: [u64; 13],
}

const _: () = assert!(size_of::<Fired>() == size_of::<libc::siginfo_t>());

/// Does what the watch signal asks for: answers a question, or takes a sample. `false` if it is not ours.
///
/// Async-signal-safe.
pub(super) fn take(info: &libc::siginfo_t, context: &mut SignalContext) -> bool {
    match info.si_code {
        libc::SI_TIMER => {
            // SAFETY: of the same size, and all bit patterns are values of it.
            let fired = unsafe { &*std::ptr::from_ref(info).cast::<Fired>() };
            sampling::sample(Registers::of(context), u64::try_from(fired.overrun).unwrap_or(0));
            true
        }
        // Of an event of the performance counters.
        POLL_IN | POLL_HUP => {
            sampling::sample(Registers::of(context), 0);
            true
        }
        _ => answer(info, context),
    }
}

/// Answers, if the signal is a question of ours that nobody gave up.
fn answer(info: &libc::siginfo_t, context: &mut SignalContext) -> bool {
    // SAFETY: of the same size, and all bit patterns are values of it.
    let queued = unsafe { &*std::ptr::from_ref(info).cast::<Queued>() };
    // SAFETY: a call without arguments that always succeeds.
    let is_own = queued.code == libc::SI_QUEUE && queued.pid == unsafe { libc::getpid() };
    let Some(slot) = ALL.get(queued.value.slot as usize).filter(|_| is_own) else { return false };
    let round = queued.value.round;
    if !slot.question.begin_answer(round) {
        return true;
    }
    let request =
        if slot.request.load(Relaxed) == Request::Leave as u32 { Request::Leave } else { Request::Look };
    // SAFETY: the subject lives until the question is answered: whoever asks waits, now that the answer has begun.
    unsafe { store_monitor::answer(slot.subject.load(Relaxed), request, context, &slot.answer) };
    slot.question.end_answer(round);
    true
}
