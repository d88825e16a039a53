//! Looking at the guest of a running store from another thread, at whatever instruction it is.
//!
//! In: a store's [`Watched`], which any thread may hold. Out: a [`Sighting`], the guest frames that were on its stack at one
//! moment. Never: stops the guest for longer than the walk, changes anything of it, or needs anything of its code.
//!
//! A thread that runs a store is asked by a signal, and walks its own stack in the handler. Where a walk begins depends on
//! where the thread is:
//!
//! | the thread is in | the innermost guest frame |
//! |---|---|
//! | guest code | is found from the instruction itself ([`frame_at`]) |
//! | a stub, between guest and host | is the one that the stub has left, or is about to enter |
//! | the host | is the one that called it, as the stub noted in the store context |
//!
//! **Invariant:** what the stubs note is true at each of their instructions: an activation is the innermost (`entry_fp`) from the
//! instruction on that follows its record's completion, until the notes of the one before are back.

use crate::code_table;
use crate::invariants::read_guest_stack;
use crate::sys::{
    self, Answer, FRAMES, Frame, InStub, Registers, SignalContext, frame_at, in_stub, returned_address,
};
use crate::walk::{RawFrame, RawStack};
use belljar_abi::{StoreContext, activation};
use std::io;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What others know of a store that may be running.
#[derive(Debug)]
pub struct Watched {
    /// The thread that entered the store's guest last; 0 before the first time.
    thread: AtomicI32,
    /// Address of the store context.
    context: usize,
    /// Whether the store is still there. Held while somebody looks.
    is_alive: Mutex<bool>,
}

/// What a guest was about at one moment.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// What the thread did.
    pub doing: Doing,
    /// Its stack.
    pub stack: RawStack,
}

/// What a thread did that runs a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// No guest code of the store was running, or waiting for the host.
    Idle,
    /// It executed guest code.
    Guest,
    /// It was in the host, which the innermost frame had called: in a function of the embedder's, or in the runtime.
    Host,
}

const IDLE: u32 = 0;
const IN_GUEST: u32 = 1;
const IN_HOST: u32 = 2;
/// Another thread runs the store now.
const ELSEWHERE: u32 = 3;

/// Bytes of code that [`frame_at`] looks at.
const REACH: usize = 24;

/// How often a store is followed from thread to thread.
const ATTEMPTS: usize = 8;

impl Watched {
    /// Of a store with this context.
    pub(crate) fn new(context: usize) -> Arc<Self> {
        Arc::new(Self { thread: AtomicI32::new(0), context, is_alive: Mutex::new(true) })
    }

    /// Notes that the current thread enters the store's guest, which is not running.
    #[inline]
    pub(crate) fn enter(&self, thread: i32) {
        self.thread.store(thread, Release);
    }

    /// Notes that the store is going. Waits for those who look.
    pub(crate) fn end(&self) {
        *self.is_alive.lock().unwrap_or_else(|e| e.into_inner()) = false;
    }

    /// Takes the guest's stack, and hands it to `read` before the store can go, and with it the modules of the frames.
    ///
    /// # Errors
    ///
    /// `NotFound` where the store is gone; `TimedOut` where its thread did not answer: it blocks signals, or has not got
    /// to run.
    pub fn look<R>(&self, timeout: Duration, read: impl FnOnce(Sighting) -> R) -> io::Result<R> {
        let is_alive = self.is_alive.lock().unwrap_or_else(|e| e.into_inner());
        if !*is_alive {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the store is gone"));
        }
        self.sight(timeout).map(read)
    }

    fn sight(&self, timeout: Duration) -> io::Result<Sighting> {
        let idle = Sighting { doing: Doing::Idle, stack: RawStack::default() };
        for _ in 0..ATTEMPTS {
            let thread = self.thread.load(Acquire);
            if thread == 0 {
                return Ok(idle);
            }
            let subject = std::ptr::from_ref(self).expose_provenance();
            // SAFETY: `self` is borrowed until the answer is there.
            let answer = unsafe { sys::ask(thread, subject, timeout, |answer| self.read(answer)) };
            match answer {
                Ok(Some(sighting)) => return Ok(sighting),
                Ok(None) => {}
                // The thread has ended.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if self.thread.load(Acquire) == thread {
                        return Ok(idle);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the store goes from thread to thread"))
    }

    /// The store is alive, and with it all code that its frames can be in (CODE-ALIVE).
    fn read(&self, answer: &Answer) -> Option<Sighting> {
        let doing = match answer.found.load(Relaxed) {
            IDLE => Doing::Idle,
            IN_GUEST => Doing::Guest,
            IN_HOST => Doing::Host,
            _ => return None,
        };
        let count = answer.count.load(Relaxed);
        let kept = count.min(FRAMES);
        let frames = answer.frames[..kept].iter().filter_map(|at| RawFrame::at(at.load(Relaxed)));
        Some(Sighting { doing, stack: RawStack::of(frames.collect(), count - kept) })
    }
}

impl Watched {
    /// Calls `visit` with an address within the instruction of each guest frame of the current thread, innermost first, for
    /// a signal handler that has been given this context. Frames of trampolines are among them, which are nobody's functions
    /// ([`function_at`]). Async-signal-safe.
    ///
    /// # Safety
    ///
    /// The store is alive, and no other thread runs it.
    pub unsafe fn frames_of(&self, context: &SignalContext, visit: impl FnMut(usize)) {
        // SAFETY: the caller's promise.
        unsafe { walk(self.context, Registers::of(context), visit) };
    }
}

/// Addresses of the function that the code at an address is of. Async-signal-safe.
pub fn function_at(address: usize) -> Option<std::ops::Range<usize>> {
    code_table::function_at(address)
}

/// Answers where the guest of a watched store is, in the handler of the thread that was asked. Async-signal-safe.
///
/// # Safety
///
/// `subject` is the address of a live [`Watched`].
pub(crate) unsafe fn answer(subject: usize, registers: Registers, answer: &Answer) {
    // SAFETY: the caller's promise.
    let watched = unsafe { &*std::ptr::with_exposed_provenance::<Watched>(subject) };
    answer.count.store(0, Relaxed);
    let is_elsewhere = watched.thread.load(Acquire) != rustix::thread::gettid().as_raw_nonzero().get();
    let found = match is_elsewhere {
        true => ELSEWHERE,
        // SAFETY: the store is alive while somebody looks, and this thread runs it if any does.
        false => unsafe {
            walk(watched.context, registers, |at| {
                let i = answer.count.load(Relaxed);
                if let Some(frame) = answer.frames.get(i) {
                    frame.store(at, Relaxed);
                }
                answer.count.store(i + 1, Relaxed);
            })
        },
    };
    answer.found.store(found, Relaxed);
}

/// # Safety
///
/// `context` is the address of a live store context, and no other thread runs the store.
unsafe fn walk(context: usize, registers: Registers, mut visit: impl FnMut(usize)) -> u32 {
    let context = std::ptr::with_exposed_provenance::<StoreContext>(context);
    // SAFETY: the caller's promise; the thread itself was interrupted, and each field is a word.
    let noted = unsafe {
        let read = |field: *const usize| field.read_volatile();
        (
            read(&raw const (*context).entry_fp),
            read(&raw const (*context).exit_pc),
            read(&raw const (*context).exit_fp),
        )
    };
    let (mut entry, exit_pc, exit_fp) = noted;
    if entry == 0 {
        return IDLE;
    }
    let Registers { pc, sp, fp, .. } = registers;
    // Where the innermost guest code of this thread is, if it is just there: an address within an instruction, if that
    // is a frame's; where it returns to; and the frame pointer of the frame that it returns to.
    let here = match in_stub(pc) {
        Some(InStub::NoFrame) => Some((None, returned_address(), fp)),
        Some(InStub::Leaving) if registers.rdi == context.addr() => Some((None, returned_address(), entry)),
        Some(InStub::Leaving) => None,
        // SAFETY: GUEST-FRAMES: a guest has called the stub, which has pushed nothing.
        Some(InStub::Exit) => Some((None, unsafe { read_guest_stack(sp) }, fp)),
        // The stub goes to the handler.
        Some(InStub::Resumed) => Some((None, registers.rcx + 1, registers.rsi)),
        None if code_table::is_code(pc) => {
            // SAFETY: GUEST-FRAMES: the thread executes this code.
            let (to, frame) = unsafe { caller(pc, sp, fp) };
            Some((Some(pc), to, frame))
        }
        None => None,
    };
    // SAFETY: GUEST-FRAMES: as above. A guest of another store may run in a host function of this one's.
    let here = here.filter(|(_, to, frame)| unsafe { outermost(*to, *frame) } == entry);
    let found = if here.is_some_and(|(pc, ..)| pc.is_some()) { IN_GUEST } else { IN_HOST };
    let (innermost, mut to, mut frame) = here.unwrap_or((None, exit_pc, exit_fp));
    innermost.into_iter().for_each(&mut visit);
    loop {
        while to != returned_address() && frame != 0 {
            visit(to - 1);
            // SAFETY: GUEST-FRAMES: it is the frame pointer of a guest frame.
            (to, frame) = unsafe { (read_guest_stack(frame + 8), read_guest_stack(frame)) };
        }
        // SAFETY: ACTIVATION-RECORD: `entry` is the entry stub's frame of a live activation.
        unsafe {
            let record = |offset| read_guest_stack(entry.wrapping_add_signed(offset));
            to = record(activation::PREVIOUS_EXIT_PC);
            frame = record(activation::PREVIOUS_EXIT_FP);
            entry = record(activation::PREVIOUS_ENTRY_FP);
        }
        if entry == 0 {
            return found;
        }
    }
}

/// The frame pointer of the entry stub of the activation that guest code belongs to which returns to this address and frame.
///
/// # Safety
///
/// The thread that calls this is the one that executes that code.
unsafe fn outermost(mut to: usize, mut frame: usize) -> usize {
    while to != returned_address() && frame != 0 {
        // SAFETY: GUEST-FRAMES: it is the frame pointer of a guest frame.
        (to, frame) = unsafe { (read_guest_stack(frame + 8), read_guest_stack(frame)) };
    }
    frame
}

/// Where the function returns to that this thread executes, and its caller's frame pointer.
///
/// # Safety
///
/// The registers are those of a thread that executes guest code.
unsafe fn caller(pc: usize, sp: usize, fp: usize) -> (usize, usize) {
    let function = code_table::function_at(pc);
    let frame = code_table::with_text(pc, |text, base| {
        // Of a function all is there; of other code what is executed next.
        let end = function.as_ref().map_or(pc + REACH, |function| function.end) - base;
        let function = function.as_ref().map(|function| function.start - base..function.end - base);
        frame_at(&text[..end.min(text.len())], pc - base, function)
    });
    // SAFETY: GUEST-FRAMES, and what `frame_at` says of it.
    unsafe {
        match frame {
            Some(Frame::None) => (read_guest_stack(sp), fp),
            Some(Frame::Pushed) => (read_guest_stack(sp + 8), read_guest_stack(sp)),
            _ => (read_guest_stack(fp + 8), read_guest_stack(fp)),
        }
    }
}
