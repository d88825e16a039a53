//! Observes the guest of a running store from another thread, at any instruction.
//!
//! In: a store's [`StoreMonitor`], which any thread may hold. Out: a [`StackSnapshot`], the guest frames that were on
//! its stack at one moment. Never: stops the guest for longer than the walk, changes its state, or requires anything of
//! its code.
//!
//! The observer signals the thread that runs the store. That thread walks its own stack in the handler
//! ([`crate::machine`]).

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

/// The state of a store that other threads may read while it runs, and its context. It has cache lines of its own, like
/// the store; the first of them holds what each call from the host accesses.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct StoreMonitor {
    /// While the guest runs: [`StoreMonitor::subject`] of the store in whose host function it was entered, 0 if in
    /// none.
    outer: AtomicUsize,
    /// What host functions must check when they begin and end: [`KILLED`], [`NOTED`], [`HOOKED`].
    attention: AtomicU8,
    /// The store's context.
    context: ContextCell,
    /// The thread that entered the store's guest last; null before the first time.
    thread: AtomicPtr<GuestThread>,
    /// A number that is unique in the process and never changes.
    number: u64,
    /// The number of the store's current [`StoreId`]. It changes with each rewind.
    store: AtomicU64,
    /// Distinguishes the engines of a process.
    engine: usize,
    /// Whether the store still exists. Locked while a thread observes it.
    is_alive: Mutex<bool>,
    host_call: HostCall,
    kill: Kill,
    /// When the store was created or last rewound, by the clock of [`coarse_time`].
    made_at: AtomicU64,
    /// Bytes of the store's memories.
    memory: AtomicU64,
    label: Mutex<Option<Arc<str>>>,
    /// Whether the label may differ from the one at the checkpoint. Only the holder of the store reads it.
    is_labelled: AtomicBool,
    /// The modules of the store's instances.
    instances: Mutex<Vec<Weak<Module>>>,
}

/// A bit of [`StoreMonitor::attention`]: the guest is to end.
const KILLED: u8 = 1;
/// A bit of [`StoreMonitor::attention`]: the times of host calls are recorded.
const NOTED: u8 = 2;
/// A bit of [`StoreMonitor::attention`]: the embedder is told about host calls.
const HOOKED: u8 = 4;

/// When the innermost call of a host function began. It is recorded only on request, as reading a clock costs more than
/// a call.
#[derive(Debug, Default)]
struct HostCall {
    /// The frame pointer of the calling activation's entry stub; 0 while the rest is being written.
    entry: AtomicUsize,
    since: AtomicU64,
}

/// The reason why the running guest is to end, if it is ([`KILLED`]).
#[derive(Debug, Default)]
struct Kill {
    /// Whether the guest was killed, and nothing of the store runs any more.
    is_dead: AtomicBool,
    reason: Mutex<Option<KillReason>>,
    /// The condition variable that the guest's thread waits on, while it waits.
    waits: Mutex<Option<Arc<Condvar>>>,
}

/// The state of a guest at one moment.
#[derive(Clone, Debug)]
pub struct StackSnapshot {
    /// What the thread was doing.
    pub doing: ThreadState,
    /// Its stack.
    pub stack: LiveStack,
    /// How long it has been in the host function that it is in, if known.
    pub in_host_for: Option<Duration>,
    /// The thread that runs the store, by its number in the kernel; `None` if the store is idle.
    pub thread: Option<i32>,
}

impl StackSnapshot {
    fn idle() -> Self {
        Self { doing: ThreadState::Idle, stack: LiveStack::default(), in_host_for: None, thread: None }
    }
}

/// The value of [`StoreMonitor::outer`] if the store's guest does not run.
const NOT_RUNNING: usize = usize::MAX;

const IDLE: u32 = 0;
const IN_GUEST: u32 = 1;
const IN_HOST: u32 = 2;
/// Another thread runs the store now.
const ELSEWHERE: u32 = 3;
/// The thread leaves the guest.
const LEAVES: u32 = 4;
/// The thread is between guest and host, and cannot leave just now.
const BETWEEN: u32 = 5;

/// How often an observer follows a store from thread to thread.
const ATTEMPTS: usize = 8;

impl StoreMonitor {
    /// Creates the monitor of a store with this id and context. `engine` distinguishes its engine from others.
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

    /// Returns the store's number in the process, for display. It changes with each rewind.
    pub fn id(&self) -> u64 {
        self.store().number()
    }

    /// Returns a number that is unique in the process and never changes.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the number that distinguishes the store's engine from others in the process.
    pub fn engine(&self) -> usize {
        self.engine
    }

    /// Returns the thread that runs the store's guest, by its number in the kernel; `None` if none does.
    pub fn thread_id(&self) -> Option<i32> {
        let is_running = self.outer.load(Acquire) != NOT_RUNNING;
        self.thread().filter(|_| is_running).map(GuestThread::id)
    }

    /// Returns the time since the store was created or last rewound.
    pub fn age(&self) -> Duration {
        Duration::from_nanos(coarse_time().saturating_sub(self.made_at.load(Acquire)))
    }

    /// Returns the size in bytes of the store's memories and of its heap of objects.
    pub fn memory(&self) -> u64 {
        self.memory.load(Acquire)
    }

    // ORDER: after the id of a store that is rewound, since a thread that sees this value must see the new id, too.
    pub(crate) fn set_memory(&self, bytes: u64) {
        self.memory.store(bytes, Release);
    }

    /// Returns the store's label, or the name of its first module.
    pub fn label(&self) -> Option<Arc<str>> {
        self.own_label().or_else(|| {
            let first = self.instances().first()?.upgrade()?;
            first.names().module().map(Into::into)
        })
    }

    /// Sets the store's label; `None`: the name of its first module is used.
    pub fn set_label(&self, label: Option<Arc<str>>) {
        self.is_labelled.store(true, Relaxed);
        *self.label.lock().unwrap_or_else(|e| e.into_inner()) = label;
    }

    /// Notes that the store is rewound to an earlier checkpoint than the last time, where it may have had another
    /// label.
    pub(crate) fn mark_label_changed(&self) {
        self.is_labelled.store(true, Relaxed);
    }

    /// Returns the store's label, if one was set.
    pub(crate) fn own_label(&self) -> Option<Arc<str>> {
        self.label.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Returns the instance that a frame of a function of this module runs for, if the store has only one of the
    /// module.
    pub fn instance_of(&self, module: &Arc<Module>) -> Option<InstanceId> {
        let instances = self.instances();
        let mut of_module =
            instances.iter().enumerate().filter(|(_, m)| std::ptr::eq(m.as_ptr(), Arc::as_ptr(module)));
        let (id, _) = of_module.next()?;
        of_module.next().is_none().then(|| InstanceId::new(id))
    }

    /// Records that the store has another instance.
    pub(crate) fn add_instance(&self, module: &Arc<Module>) {
        self.instances().push(Arc::downgrade(module));
    }

    fn instances(&self) -> MutexGuard<'_, Vec<Weak<Module>>> {
        self.instances.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Returns the store's current id.
    pub fn store(&self) -> StoreId {
        StoreId::of_number(self.store.load(Relaxed))
    }

    /// Runs `take`, which removes host functions and modules that stacks of the store may name, while no other thread
    /// observes the stack. The caller has drained the samples that may name them.
    pub(crate) fn with_walks_blocked<R>(&self, take: impl FnOnce() -> R) -> R {
        let _nobody_looks = self.is_alive.lock().unwrap_or_else(|e| e.into_inner());
        take()
    }

    /// Makes the times of host calls be recorded from now on, for [`StackSnapshot::in_host_for`]. That makes a call
    /// some nanoseconds slower.
    pub fn note_host_calls(&self) {
        self.attention.fetch_or(NOTED, Relaxed);
    }

    /// Records whether the embedder is told about host calls. Until then, [`StoreMonitor::is_plain_host_call`] is true.
    pub(crate) fn set_hooked(&self, is_hooked: bool) {
        match is_hooked {
            true => self.attention.fetch_or(HOOKED, Relaxed),
            false => self.attention.fetch_and(!HOOKED, Relaxed),
        };
    }

    /// The same as [`StoreMonitor::enter`], for a thread that is in no guest and was the last to enter this one, if the
    /// run that it left was not to be killed. Returns the address of the store's context.
    #[inline]
    pub(crate) fn enter_again(&self, thread: &'static GuestThread) -> usize {
        self.outer.store(0, Release);
        let subject = self.subject();
        thread.set_current(subject);
        subject
    }

    /// The same as [`StoreMonitor::leave`], after [`StoreMonitor::enter_again`]. `idle` is the result of
    /// [`GuestThread::idle`].
    #[inline]
    pub(crate) fn leave_again(&self, thread: &'static GuestThread, idle: usize) {
        thread.set_idle(idle);
        self.outer.store(NOT_RUNNING, Release);
    }

    /// Records that the current thread enters the store's guest, which is not running.
    pub(crate) fn enter(&self, thread: &'static GuestThread) {
        if self.is_killed() {
            self.cancel_kill();
        }
        self.outer.store(thread.current(), Release);
        self.thread.store(std::ptr::from_ref(thread).cast_mut(), Release);
        thread.set_current(self.subject());
    }

    /// Records that the current thread has left the store's guest.
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
        // SAFETY: the pointer was made from a `'static` reference.
        unsafe { self.thread.load(Acquire).as_ref() }
    }

    /// Returns [`StoreMonitor::subject`] of the store in whose host function this one was entered; 0 if in none.
    pub(crate) fn outer(&self) -> usize {
        match self.outer.load(Relaxed) {
            NOT_RUNNING => 0,
            outer => outer,
        }
    }

    /// Returns the number by which a signal handler knows the monitor ([`StoreMonitor::of_subject`]): the address of
    /// the store's context.
    #[inline]
    fn subject(&self) -> usize {
        VmPtr::expose(std::ptr::from_ref(self));
        self.context().address()
    }

    /// Returns the monitor that contains a store's context.
    ///
    /// # Safety
    ///
    /// The context is that of a `StoreMonitor` that lives for `'a`.
    #[inline]
    pub(crate) unsafe fn around<'a>(context: VmPtr<StoreContext>) -> &'a Self {
        // SAFETY: the caller's promise; the address was exposed ([`StoreMonitor::subject`]), and the monitor is only
        // ever shared.
        unsafe { VmPtr::at(context.address() - offset_of!(Self, context)).as_ref() }
    }

    /// Returns the monitor that a signal handler knows by a number.
    ///
    /// # Safety
    ///
    /// The number is that of a `StoreMonitor` that lives for `'a`.
    #[inline]
    pub(crate) unsafe fn of_subject<'a>(subject: usize) -> &'a Self {
        // SAFETY: the caller's promise.
        unsafe { Self::around(VmPtr::at(subject)) }
    }

    /// Returns the store's context, for stubs, signal handlers and the holder of the store.
    #[inline]
    pub(crate) fn context(&self) -> VmPtr<StoreContext> {
        VmPtr::expose(self.context.get())
    }

    /// Marks the store as gone. Waits for threads that observe it.
    pub(crate) fn end(&self) {
        *self.is_alive.lock().unwrap_or_else(|e| e.into_inner()) = false;
    }

    /// Takes a snapshot of the guest's stack, and passes it to `read` before the store, and with it the modules of the
    /// frames, can go away.
    ///
    /// # Errors
    ///
    /// Returns `NotFound` if the store is gone or has another id now, and `TimedOut` if its thread did not answer: it
    /// blocks signals, or was not scheduled.
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
        let snapshot = self.take_snapshot(timeout);
        // ORDER: a rewind changes the id before anything else here, so everything in the snapshot belongs to this
        // session.
        self.check(store)?;
        let read = snapshot.map(read)?;
        self.check(store)?;
        Ok(read)
    }

    /// Checks that the store still has this id.
    ///
    /// # Errors
    ///
    /// Returns `NotFound` if the store has been rewound since.
    pub fn check(&self, store: StoreId) -> io::Result<()> {
        match self.store() == store {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::NotFound, "that session is over")),
        }
    }

    /// Returns whether the store is gone or has another id now.
    pub fn is_over(&self, store: StoreId) -> bool {
        let is_alive = *self.is_alive.lock().unwrap_or_else(|e| e.into_inner());
        !is_alive || self.store() != store
    }

    fn take_snapshot(&self, timeout: Duration) -> io::Result<StackSnapshot> {
        for _ in 0..ATTEMPTS {
            let thread = self.thread().map_or(0, GuestThread::id);
            if thread == 0 {
                return Ok(StackSnapshot::idle());
            }
            let subject = self.subject();
            // SAFETY: `self` is borrowed until the answer is complete.
            let answer = unsafe {
                machine::send_request(thread, subject, Request::Walk, timeout, |answer| {
                    self.read(answer, thread)
                })
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
        Err(io::Error::new(io::ErrorKind::TimedOut, "the store keeps moving from thread to thread"))
    }

    /// Reads an answer. The store is alive, and with it all code that its frames can be in (CODE-ALIVE).
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
        // SAFETY: the store is alive while it is observed.
        let stack = unsafe { LiveStack::of(found, count - kept, RawFrame::at) };
        let since = answer.host_since.load(Relaxed);
        let in_host_for = (since > 0).then(|| Duration::from_nanos(coarse_time().saturating_sub(since)));
        Some(StackSnapshot { doing, stack, in_host_for, thread: Some(thread) })
    }
}

/// When the innermost call of a host function began; unknown if `entry` is 0.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HostCallBegan {
    entry: usize,
    since: u64,
}

impl StoreMonitor {
    /// Returns whether the times of host calls are recorded.
    #[inline]
    pub(crate) fn notes_host_calls(&self) -> bool {
        self.attention.load(Relaxed) & NOTED != 0
    }

    /// Returns whether a host function that begins has nothing to do first.
    #[inline]
    pub(crate) fn is_plain_host_call(&self) -> bool {
        self.attention.load(Relaxed) & (NOTED | HOOKED) == 0
    }

    /// Returns whether a host function that ends has anything to check: [`StoreMonitor::host_ends`],
    /// [`StoreMonitor::is_killed`].
    #[inline]
    pub(crate) fn wants_attention(&self) -> bool {
        self.attention.load(Acquire) != 0
    }

    /// Records that the activation whose entry stub has this frame calls a host function.
    #[cold]
    pub(crate) fn host_begins(&self, entry: usize) {
        self.set_host_call(HostCallBegan { entry, since: coarse_time() });
    }

    /// Records that the host function that began last ends.
    #[cold]
    pub(crate) fn host_ends(&self) {
        self.set_host_call(HostCallBegan::default());
    }

    /// Returns the record about the host function that calls a guest now. [`StoreMonitor::set_host_call`] restores it.
    pub(crate) fn host_call(&self) -> HostCallBegan {
        let call = &self.host_call;
        HostCallBegan { entry: call.entry.load(Relaxed), since: call.since.load(Relaxed) }
    }

    // ORDER: a signal handler of this thread may read in between.
    pub(crate) fn set_host_call(&self, to: HostCallBegan) {
        self.host_call.entry.store(0, Release);
        self.host_call.since.store(to.since, Release);
        self.host_call.entry.store(to.entry, Release);
    }

    /// Returns when the activation called the host function that it is in; 0 if unknown.
    fn host_since(&self, entry: usize) -> u64 {
        let is_of = self.host_call.entry.load(Acquire) == entry;
        if is_of { self.host_call.since.load(Acquire) } else { 0 }
    }

    /// Returns whether the guest is to end.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.attention.load(Acquire) & KILLED != 0
    }

    /// Requests the end of the guest, if it runs.
    pub(crate) fn request_kill(&self, reason: KillReason, store: Option<StoreId>) -> bool {
        let mut first = self.kill.reason.lock().unwrap_or_else(|e| e.into_inner());
        if self.thread_id().is_none() || store.is_some_and(|store| store != self.store()) {
            return false;
        }
        first.get_or_insert(reason);
        self.attention.fetch_or(KILLED, Release);
        true
    }

    /// Records that the guest has ended for good. Returns why it was killed.
    pub(crate) fn take_kill(&self) -> Option<KillReason> {
        let mut reason = self.kill.reason.lock().unwrap_or_else(|e| e.into_inner());
        self.attention.fetch_and(!KILLED, Release);
        reason.take()
    }

    /// Returns whether the guest was killed, and nothing of the store runs any more.
    pub(crate) fn is_dead(&self) -> bool {
        self.kill.is_dead.load(Acquire)
    }

    /// Records that nothing of the store runs any more.
    pub(crate) fn set_dead(&self) {
        self.kill.is_dead.store(true, Release);
    }

    /// Records that the store was rewound: it has its first instances, its label, and a new id. Observations of the
    /// previous session, and requests to record host calls for it, end.
    pub(crate) fn reset(
        &self,
        store: StoreId,
        instances: usize,
        label: Option<&Arc<str>>,
        notes_calls: bool,
    ) {
        {
            // ORDER: under this lock, a kill applies either to the previous session, which no longer runs, or to the
            // new one.
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
        // As if no thread had ever entered the store, so that none waits for a thread that no longer has anything to do
        // with it.
        self.thread.store(std::ptr::null_mut(), Release);
    }

    /// Returns why the guest is to end.
    pub(crate) fn kill_reason(&self) -> Option<KillReason> {
        self.kill.reason.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Cancels a kill if its run has ended by itself in the meantime. The next run is not killed in its stead.
    #[cold]
    fn cancel_kill(&self) {
        self.take_kill();
    }

    /// Sets the condition variable by which the guest's thread can be woken while it waits.
    pub(crate) fn set_waits(&self, waits: Option<Arc<Condvar>>) {
        *self.kill.waits.lock().unwrap_or_else(|e| e.into_inner()) = waits;
    }

    /// Asks the guest's thread once to leave the guest, and wakes it if it waits.
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
        // SAFETY: `self` is borrowed until the answer is complete.
        let reached = match unsafe { machine::send_request(thread, subject, Request::Leave, timeout, read) } {
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

    /// Calls `visit` with an address within the current instruction of each guest frame of the current thread,
    /// innermost first, for a signal handler that was given this context. Frames of trampolines, which belong to no
    /// function ([`function_at`]), are included. Async-signal-safe.
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

/// Returns the addresses of the function that contains the code at an address. Async-signal-safe.
pub fn function_at(address: usize) -> Option<std::ops::Range<usize>> {
    code_table::function_at(address)
}

/// Answers a request in the handler of the requested thread: reports where the guest of a monitored store is, or makes
/// the thread leave it. Async-signal-safe.
///
/// # Safety
///
/// `subject` is the number of a live [`StoreMonitor`].
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
        // The run that was to end has ended by itself, and another may have begun since.
        answer.found.store(IDLE, Relaxed);
        return;
    }
    if request == Request::Leave {
        // SAFETY: the store is alive while the request is open, and this thread runs it if any does.
        let found = match unsafe { leave_guest(monitor.context(), context) } {
            Reached::Idle => IDLE,
            Reached::Leaves => LEAVES,
            Reached::InHost => IN_HOST,
            Reached::Between => BETWEEN,
        };
        answer.found.store(found, Relaxed);
        return;
    }
    // SAFETY: the store is alive while the request is open, and this thread runs it if any does.
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
