//! Looking at the guest of a running store from another thread, at whatever instruction it is.
//!
//! In: a store's [`StoreMonitor`], which any thread may hold. Out: a [`StackSnapshot`], the guest frames that were on its stack at one
//! moment. Never: stops the guest for longer than the walk, changes anything of it, or needs anything of its code.
//!
//! A thread that runs a store is asked by a signal, and walks its own stack in the handler ([`crate::signal_walk`]).

use crate::code_table;
use crate::context_cell::ContextCell;
use crate::guest_thread::GuestThread;
use crate::kill_reason::KillReason;
use crate::machine::{
    self, Answer, Context, FRAMES, Reached, Request, StackEntry, StackWord, ThreadState, leave_guest, walk,
};
use crate::recorded_stack::{LiveStack, RawFrame};
use crate::store_id::StoreId;
use crate::sys::{coarse_time, thread_id};
use crate::vm_ptr::VmPtr;
use belljar_abi::StoreContext;
use belljar_core::InstanceId;
use belljar_module::Module;
use std::io;
use std::mem::offset_of;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::Duration;

/// What others know of a store that may be running, and its context. On lines of its own, as the store is: what each call from the
/// host touches is the first of them.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct StoreMonitor {
    /// While the store's guest runs: [`StoreMonitor::subject`] of the store in whose host function it was entered, 0 if in none.
    outer: AtomicUsize,
    /// What host functions are to look at when they begin and end: [`KILLED`], [`NOTED`].
    attention: AtomicU8,
    /// The store's context.
    context: ContextCell,
    /// The thread that entered the store's guest last; null before the first time.
    thread: AtomicPtr<GuestThread>,
    /// Tells it from others of the process, whatever becomes of the store.
    number: u64,
    /// What handles of the store name it by: another one each time that it goes back.
    store: AtomicU64,
    /// Tells the engines of a process apart.
    engine: usize,
    /// Whether the store is still there. Held while somebody looks.
    is_alive: Mutex<bool>,
    host_call: HostCall,
    kill: Kill,
    /// When the store was made or went back, by the clock of [`coarse_time`].
    made_at: AtomicU64,
    /// Bytes of the store's memories.
    memory: AtomicU64,
    label: Mutex<Option<Arc<str>>>,
    /// Whether the label may be another than where the store goes back to. Looked at by whoever has the store alone.
    is_labelled: AtomicBool,
    /// The modules of the store's instances.
    instances: Mutex<Vec<Weak<Module>>>,
}

/// Of [`StoreMonitor::attention`]: the guest is to end.
const KILLED: u8 = 1;
/// Of [`StoreMonitor::attention`]: when host functions are called is noted.
const NOTED: u8 = 2;

/// When the innermost call of a host function began. Only noted once somebody wants to know, as clocks cost more than calls.
#[derive(Debug, Default)]
struct HostCall {
    /// Frame pointer of the entry stub of the activation that called; 0 while the rest is being written.
    entry: AtomicUsize,
    since: AtomicU64,
}

/// Why the guest that runs is to end, if it is ([`KILLED`]).
#[derive(Debug, Default)]
struct Kill {
    /// Whether it was killed, and nothing of the store runs any more.
    is_dead: AtomicBool,
    reason: Mutex<Option<KillReason>>,
    /// What the guest's thread waits with, while it does.
    waits: Mutex<Option<Arc<Condvar>>>,
}

/// What a guest was about at one moment.
#[derive(Clone, Debug)]
pub struct StackSnapshot {
    /// What the thread did.
    pub doing: ThreadState,
    /// Its stack.
    pub stack: LiveStack,
    /// For how long it has been in the host function that it is in, where that is known.
    pub in_host_for: Option<Duration>,
    /// The thread that runs the store, by its number in the kernel; `None` if it is idle.
    pub thread: Option<i32>,
}

impl StackSnapshot {
    fn idle() -> Self {
        Self { doing: ThreadState::Idle, stack: LiveStack::default(), in_host_for: None, thread: None }
    }
}

/// [`StoreMonitor::outer`] of a store whose guest does not run.
const NOT_RUNNING: usize = usize::MAX;

const IDLE: u32 = 0;
const IN_GUEST: u32 = 1;
const IN_HOST: u32 = 2;
/// Another thread runs the store now.
const ELSEWHERE: u32 = 3;
/// It leaves the guest.
const LEAVES: u32 = 4;
/// It is between guest and host, and cannot leave just now.
const BETWEEN: u32 = 5;

/// How often a store is followed from thread to thread.
const ATTEMPTS: usize = 8;

impl StoreMonitor {
    /// Of a store with this id and context, of an engine that this address tells from others.
    pub(crate) fn new(id: StoreId, engine: usize, context: StoreContext) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            number: NEXT.fetch_add(1, Relaxed),
            store: AtomicU64::new(id.number()),
            engine,
            context: ContextCell::new(context),
            thread: AtomicPtr::default(),
            outer: AtomicUsize::new(NOT_RUNNING),
            attention: AtomicU8::new(0),
            is_alive: Mutex::new(true),
            host_call: HostCall::default(),
            kill: Kill::default(),
            made_at: AtomicU64::new(coarse_time()),
            memory: AtomicU64::new(0),
            label: Mutex::default(),
            is_labelled: AtomicBool::new(false),
            instances: Mutex::default(),
        })
    }

    /// The store's number in the process, for people: another one each time that it goes back.
    pub fn id(&self) -> u64 {
        self.store().number()
    }

    /// Tells the store from others of the process, whatever becomes of it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What tells the store's engine from others in the process.
    pub fn engine(&self) -> usize {
        self.engine
    }

    /// The thread that runs the store's guest, by its number in the kernel; `None` if none does.
    pub fn thread_id(&self) -> Option<i32> {
        let is_running = self.outer.load(Acquire) != NOT_RUNNING;
        self.thread().filter(|_| is_running).map(GuestThread::id)
    }

    /// How long the store has been there, or since when it went back.
    pub fn age(&self) -> Duration {
        Duration::from_nanos(coarse_time().saturating_sub(self.made_at.load(Acquire)))
    }

    /// Bytes of the store's memories, and of its heap of objects.
    pub fn memory(&self) -> u64 {
        self.memory.load(Acquire)
    }

    // ORDER: after the id of a store that goes back, as whoever sees what is noted here is to see that, too.
    pub(crate) fn set_memory(&self, bytes: u64) {
        self.memory.store(bytes, Release);
    }

    /// What people call the store, or the name of its first module.
    pub fn label(&self) -> Option<Arc<str>> {
        self.own_label().or_else(|| {
            let first = self.instances().first()?.upgrade()?;
            first.names().module().map(Into::into)
        })
    }

    /// Says what people call the store; `None`: it is called as its first module.
    pub fn set_label(&self, label: Option<Arc<str>>) {
        self.is_labelled.store(true, Relaxed);
        *self.label.lock().unwrap_or_else(|e| e.into_inner()) = label;
    }

    /// Notes that the store goes back further than it did the last time, where it may have been called otherwise.
    pub(crate) fn note_label(&self) {
        self.is_labelled.store(true, Relaxed);
    }

    /// What people call the store, if anybody said so.
    pub(crate) fn own_label(&self) -> Option<Arc<str>> {
        self.label.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// The instance that a frame of a function of this module runs for, where the store has only one of the module.
    pub fn instance_of(&self, module: &Arc<Module>) -> Option<InstanceId> {
        let instances = self.instances();
        let mut of_module =
            instances.iter().enumerate().filter(|(_, m)| std::ptr::eq(m.as_ptr(), Arc::as_ptr(module)));
        let (id, _) = of_module.next()?;
        of_module.next().is_none().then(|| InstanceId::new(id))
    }

    /// Notes that the store has another instance.
    pub(crate) fn add_instance(&self, module: &Arc<Module>) {
        self.instances().push(Arc::downgrade(module));
    }

    fn instances(&self) -> MutexGuard<'_, Vec<Weak<Module>>> {
        self.instances.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// What handles of the store name it by now.
    pub fn store(&self) -> StoreId {
        StoreId::of_number(self.store.load(Relaxed))
    }

    /// Takes away what stacks of the store may name, host functions and modules, while no other thread looks at its stack. The caller
    /// has drained the samples that may name them.
    pub(crate) fn taking_away<R>(&self, take: impl FnOnce() -> R) -> R {
        let _nobody_looks = self.is_alive.lock().unwrap_or_else(|e| e.into_inner());
        take()
    }

    /// From now on it is noted when host functions are called, for [`StackSnapshot::in_host_for`]. A call costs some nanoseconds
    /// more then.
    pub fn note_host_calls(&self) {
        self.attention.fetch_or(NOTED, Relaxed);
    }

    /// As [`StoreMonitor::enter`], for a thread that is in no guest and was the last one to enter this one, where nobody has wanted the
    /// run killed that it left. The address of the store's context.
    #[inline]
    pub(crate) fn enter_again(&self, thread: &'static GuestThread) -> usize {
        self.outer.store(0, Release);
        let subject = self.subject();
        thread.set_current(subject);
        subject
    }

    /// As [`StoreMonitor::leave`], after [`StoreMonitor::enter_again`], with what [`GuestThread::idle`] said.
    #[inline]
    pub(crate) fn leave_again(&self, thread: &'static GuestThread, idle: usize) {
        thread.set_idle(idle);
        self.outer.store(NOT_RUNNING, Release);
    }

    /// Notes that the current thread enters the store's guest, which is not running.
    pub(crate) fn enter(&self, thread: &'static GuestThread) {
        if self.is_killed() {
            self.cancel_kill();
        }
        self.outer.store(thread.current(), Release);
        self.thread.store(std::ptr::from_ref(thread).cast_mut(), Release);
        thread.set_current(self.subject());
    }

    /// Notes that the current thread has left the store's guest.
    pub(crate) fn leave(&self) {
        if let Some(thread) = self.thread() {
            match self.outer.load(Relaxed) {
                0 => thread.set_idle(thread.idle()),
                outer => thread.set_current(outer),
            }
            self.outer.store(NOT_RUNNING, Release);
        }
    }

    #[inline]
    fn thread(&self) -> Option<&'static GuestThread> {
        // SAFETY: it was a reference of this lifetime.
        unsafe { self.thread.load(Acquire).as_ref() }
    }

    /// [`StoreMonitor::subject`] of the store in whose host function this one was entered; 0 if in none.
    pub(crate) fn outer(&self) -> usize {
        match self.outer.load(Relaxed) {
            NOT_RUNNING => 0,
            outer => outer,
        }
    }

    /// The number by which a signal handler knows it ([`StoreMonitor::of_subject`]): the address of the store's context.
    #[inline]
    fn subject(&self) -> usize {
        VmPtr::expose(std::ptr::from_ref(self));
        self.context().address()
    }

    /// What a store's context lies in.
    ///
    /// # Safety
    ///
    /// It is a context of a `StoreMonitor` that lives for `'a`.
    #[inline]
    pub(crate) unsafe fn around<'a>(context: VmPtr<StoreContext>) -> &'a Self {
        // SAFETY: the caller's promise; it was exposed ([`StoreMonitor::subject`]), and is only ever shared.
        unsafe { VmPtr::at(context.address() - offset_of!(Self, context)).as_ref() }
    }

    /// What a signal handler knows by a number.
    ///
    /// # Safety
    ///
    /// The number is that of a `StoreMonitor` which lives for `'a`.
    #[inline]
    pub(crate) unsafe fn of_subject<'a>(subject: usize) -> &'a Self {
        // SAFETY: the caller's promise.
        unsafe { Self::around(VmPtr::at(subject)) }
    }

    /// The store's context, for stubs, signal handlers and whoever holds the store.
    #[inline]
    pub(crate) fn context(&self) -> VmPtr<StoreContext> {
        VmPtr::expose(self.context.get())
    }

    /// Notes that the store is going. Waits for those who look.
    pub(crate) fn end(&self) {
        *self.is_alive.lock().unwrap_or_else(|e| e.into_inner()) = false;
    }

    /// Takes the guest's stack, and hands it to `read` before the store can go, and with it the modules of the frames.
    ///
    /// # Errors
    ///
    /// `NotFound` where the store is gone, or is not this one any more; `TimedOut` where its thread did not answer: it blocks
    /// signals, or has not got to run.
    pub fn look<R>(
        &self,
        store: StoreId,
        timeout: Duration,
        read: impl FnOnce(StackSnapshot) -> R,
    ) -> io::Result<R> {
        let is_alive = self.is_alive.lock().unwrap_or_else(|e| e.into_inner());
        if !*is_alive {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the store is gone"));
        }
        self.check(store)?;
        let snapshot = self.sight(timeout);
        // ORDER: a store that goes back changes its id before anything else here, so that all that was seen is of this one.
        self.check(store)?;
        let read = snapshot.map(read)?;
        self.check(store)?;
        Ok(read)
    }

    /// Whether the store is still the one of this id.
    ///
    /// # Errors
    ///
    /// `NotFound` where it has gone back since.
    pub fn check(&self, store: StoreId) -> io::Result<()> {
        match self.store() == store {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::NotFound, "that session is over")),
        }
    }

    /// Whether the store is gone, or is not the one of this id any more.
    pub fn is_over(&self, store: StoreId) -> bool {
        let is_alive = *self.is_alive.lock().unwrap_or_else(|e| e.into_inner());
        !is_alive || self.store() != store
    }

    fn sight(&self, timeout: Duration) -> io::Result<StackSnapshot> {
        for _ in 0..ATTEMPTS {
            let thread = self.thread().map_or(0, GuestThread::id);
            if thread == 0 {
                return Ok(StackSnapshot::idle());
            }
            let subject = self.subject();
            // SAFETY: `self` is borrowed until the answer is there.
            let answer = unsafe {
                machine::ask(thread, subject, Request::Look, timeout, |answer| self.read(answer, thread))
            };
            match answer {
                Ok(Some(snapshot)) => return Ok(snapshot),
                Ok(None) => {}
                // The thread has ended.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if self.thread().is_some_and(|now| now.id() == thread) {
                        return Ok(StackSnapshot::idle());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the store goes from thread to thread"))
    }

    /// The store is alive, and with it all code that its frames can be in (CODE-ALIVE).
    fn read(&self, answer: &Answer, thread: i32) -> Option<StackSnapshot> {
        let doing = match answer.found.load(Relaxed) {
            IDLE => return Some(StackSnapshot::idle()),
            IN_GUEST => ThreadState::Guest,
            IN_HOST => ThreadState::Host,
            _ => return None,
        };
        let count = answer.count.load(Relaxed);
        let kept = count.min(FRAMES);
        let found = answer.found_on_stack[..kept].iter().map(|found| StackWord(found.load(Relaxed)));
        // SAFETY: the store is alive while somebody looks.
        let stack = unsafe { LiveStack::of(found, count - kept, RawFrame::at) };
        let since = answer.host_since.load(Relaxed);
        let in_host_for = (since > 0).then(|| Duration::from_nanos(coarse_time().saturating_sub(since)));
        Some(StackSnapshot { doing, stack, in_host_for, thread: Some(thread) })
    }
}

/// When the innermost call of a host function began: nothing is known where `entry` is 0.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HostCallBegan {
    entry: usize,
    since: u64,
}

impl StoreMonitor {
    /// Whether the beginnings and ends of host functions are to be noted.
    #[inline]
    pub(crate) fn notes_host_calls(&self) -> bool {
        self.attention.load(Relaxed) & NOTED != 0
    }

    /// Whether a host function that ends has to look at anything: [`StoreMonitor::host_ends`], [`StoreMonitor::is_killed`].
    #[inline]
    pub(crate) fn wants_attention(&self) -> bool {
        self.attention.load(Acquire) != 0
    }

    /// Notes that the activation with this frame of the entry stub calls a host function.
    #[cold]
    pub(crate) fn host_begins(&self, entry: usize) {
        self.set_host_call(HostCallBegan { entry, since: coarse_time() });
    }

    /// Notes that the host function ends that began last.
    #[cold]
    pub(crate) fn host_ends(&self) {
        self.set_host_call(HostCallBegan::default());
    }

    /// What is noted of the host function that calls a guest now. [`StoreMonitor::set_host_call`] puts it back.
    pub(crate) fn host_call(&self) -> HostCallBegan {
        let call = &self.host_call;
        HostCallBegan { entry: call.entry.load(Relaxed), since: call.since.load(Relaxed) }
    }

    // ORDER: a signal handler of this thread may look in between.
    pub(crate) fn set_host_call(&self, to: HostCallBegan) {
        self.host_call.entry.store(0, Release);
        self.host_call.since.store(to.since, Release);
        self.host_call.entry.store(to.entry, Release);
    }

    /// When the activation called the host function that it is in; 0 where that is not known.
    fn host_since(&self, entry: usize) -> u64 {
        let is_of = self.host_call.entry.load(Acquire) == entry;
        if is_of { self.host_call.since.load(Acquire) } else { 0 }
    }

    /// Whether the guest is to end.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.attention.load(Acquire) & KILLED != 0
    }

    /// Notes that the guest is to end, if it runs.
    pub(crate) fn want_killed(&self, reason: KillReason, store: Option<StoreId>) -> bool {
        let mut first = self.kill.reason.lock().unwrap_or_else(|e| e.into_inner());
        if self.thread_id().is_none() || store.is_some_and(|store| store != self.store()) {
            return false;
        }
        first.get_or_insert(reason);
        self.attention.fetch_or(KILLED, Release);
        true
    }

    /// Takes note that the guest has ended for good. Why it was to.
    pub(crate) fn take_kill(&self) -> Option<KillReason> {
        let mut reason = self.kill.reason.lock().unwrap_or_else(|e| e.into_inner());
        self.attention.fetch_and(!KILLED, Release);
        reason.take()
    }

    /// Whether the guest was killed, and nothing of the store runs any more.
    pub(crate) fn is_dead(&self) -> bool {
        self.kill.is_dead.load(Acquire)
    }

    /// Takes note that nothing of the store runs any more.
    pub(crate) fn set_dead(&self) {
        self.kill.is_dead.store(true, Release);
    }

    /// Takes note that the store is again what it was, with its first instances and its label, and under another id. What others
    /// found out about the one before, and what it was asked to note for them, ends with it.
    pub(crate) fn reset(
        &self,
        store: StoreId,
        instances: usize,
        label: Option<&Arc<str>>,
        notes_calls: bool,
    ) {
        {
            // ORDER: whoever holds the lock kills the one that was, which does not run any more, or the one that is.
            let mut reason = self.kill.reason.lock().unwrap_or_else(|e| e.into_inner());
            self.store.store(store.number(), Relaxed);
            self.attention.store(if notes_calls { NOTED } else { 0 }, Release);
            *reason = None;
        }
        self.kill.is_dead.store(false, Release);
        self.instances().truncate(instances);
        if self.is_labelled.load(Relaxed) {
            self.set_label(label.cloned());
            self.is_labelled.store(false, Relaxed);
        }
        self.made_at.store(coarse_time(), Release);
        self.set_host_call(HostCallBegan::default());
        // As if none had ever entered: nobody is to wait for a thread that has nothing to do with the store any more.
        self.thread.store(std::ptr::null_mut(), Release);
    }

    /// Why the guest is to end.
    pub(crate) fn kill_reason(&self) -> Option<KillReason> {
        self.kill.reason.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// A run that has ended by itself in the meantime is not killed, nor is the next one in its stead.
    #[cold]
    fn cancel_kill(&self) {
        self.take_kill();
    }

    /// Says by what the guest's thread can be woken while it waits.
    pub(crate) fn set_waits(&self, waits: Option<Arc<Condvar>>) {
        *self.kill.waits.lock().unwrap_or_else(|e| e.into_inner()) = waits;
    }

    /// Asks the guest's thread to leave it, and wakes it if it waits.
    pub(crate) fn interrupt_once(&self, timeout: Duration) -> io::Result<Reached> {
        let is_alive = self.is_alive.lock().unwrap_or_else(|e| e.into_inner());
        if !*is_alive {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the store is gone"));
        }
        let thread = self.thread().map_or(0, GuestThread::id);
        if thread == 0 {
            return Ok(Reached::Idle);
        }
        let subject = self.subject();
        let read = |answer: &Answer| match answer.found.load(Relaxed) {
            IDLE => Reached::Idle,
            LEAVES => Reached::Leaves,
            IN_HOST => Reached::InHost,
            _ => Reached::Between,
        };
        // SAFETY: `self` is borrowed until the answer is there.
        let reached = match unsafe { machine::ask(thread, subject, Request::Leave, timeout, read) } {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Reached::Idle,
            reached => reached?,
        };
        if reached == Reached::InHost
            && let Some(waits) = &*self.kill.waits.lock().unwrap_or_else(|e| e.into_inner())
        {
            waits.notify_all();
        }
        Ok(reached)
    }

    /// Calls `visit` with an address within the instruction of each guest frame of the current thread, innermost first, for
    /// a signal handler that has been given this context. Frames of trampolines are among them, which are nobody's functions
    /// ([`function_at`]). Async-signal-safe.
    ///
    /// # Safety
    ///
    /// The store is alive, and no other thread runs it.
    pub unsafe fn frames_of(&self, context: &Context, mut visit: impl FnMut(usize)) {
        // SAFETY: the caller's promise.
        unsafe {
            walk(self.context(), context.state(), |found| {
                if let StackEntry::Frame(address) = found.get() {
                    visit(address);
                }
            })
        };
    }
}

/// Addresses of the function that the code at an address is of. Async-signal-safe.
pub fn function_at(address: usize) -> Option<std::ops::Range<usize>> {
    code_table::function_at(address)
}

/// Answers where the guest of a watched store is, or has the thread leave it, in the handler of the thread that was asked.
/// Async-signal-safe.
///
/// # Safety
///
/// `subject` is the number of a [`StoreMonitor`] that is alive.
pub(crate) unsafe fn answer(subject: usize, request: Request, context: &mut Context, answer: &Answer) {
    let state = context.state();
    // SAFETY: the caller's promise.
    let monitor = unsafe { StoreMonitor::of_subject(subject) };
    answer.count.store(0, Relaxed);
    answer.host_since.store(0, Relaxed);
    if monitor.thread().is_none_or(|thread| thread.id() != thread_id()) {
        answer.found.store(ELSEWHERE, Relaxed);
        return;
    }
    if request == Request::Leave && !monitor.is_killed() {
        // The run that was to end has ended by itself, and perhaps another has begun since.
        answer.found.store(IDLE, Relaxed);
        return;
    }
    if request == Request::Leave {
        // SAFETY: the store is alive while somebody asks, and this thread runs it if any does.
        let found = match unsafe { leave_guest(monitor.context(), context) } {
            Reached::Idle => IDLE,
            Reached::Leaves => LEAVES,
            Reached::InHost => IN_HOST,
            Reached::Between => BETWEEN,
        };
        answer.found.store(found, Relaxed);
        return;
    }
    // SAFETY: the store is alive while somebody looks, and this thread runs it if any does.
    let walked = unsafe {
        walk(monitor.context(), state, |found| {
            let i = answer.count.load(Relaxed);
            if let Some(place) = answer.found_on_stack.get(i) {
                place.store(found.0, Relaxed);
            }
            answer.count.store(i + 1, Relaxed);
        })
    };
    let found = match walked.doing {
        ThreadState::Idle => IDLE,
        ThreadState::Guest => IN_GUEST,
        ThreadState::Host => {
            answer.host_since.store(monitor.host_since(walked.entry), Relaxed);
            IN_HOST
        }
    };
    answer.found.store(found, Relaxed);
}
