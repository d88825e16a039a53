//! The handler of the signals that take a thread's stack, make it leave its guest, or report a write does nothing that
//! the interrupted code may be in the middle of. It takes no lock, allocates nothing, and touches nothing that is
//! initialized on first use.
//!
//! The test installs a handler of its own before belljar's, which marks the thread as inside while belljar's runs. An
//! allocation or a wait for a lock there ends the process ([`shims`]). Taking a free lock makes no call. So some of the
//! signals are handled one instruction at a time ([`steps`]), and the executed functions are looked up by name
//! ([`functions`]).

mod functions;
mod inside;
mod shims;
mod steps;

use belljar::{
    Caller, Engine, Error, Killed, Linker, Module, SandboxKillHandle, SandboxTemplate, Store, Trap,
};
use belljar_vm::{Sampler, function_at};
use functions::{Symbols, is_of_thread, why_denied};
use inside::{Inside, thread_id};
use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Mutex, MutexGuard, OnceLock, mpsc};
use std::time::{Duration, Instant};
use steps::{Handler, stepped};

const PROGRAM: &str = include_str!("../../../belljar/tests/calls.wat");

/// More time than a thread without a deadlock takes on any machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The kinds of signals, and how many of each are stepped. A step takes as long as a signal, and a handler has
/// thousands.
const KINDS: [(Kind, u64); 8] = [
    (Kind::AskedGuest, 8),
    (Kind::AskedHost, 8),
    (Kind::Timer, 4),
    (Kind::Event, 4),
    (Kind::Foreign, 2),
    (Kind::LeftGuest, 4),
    (Kind::LeftHost, 4),
    (Kind::Write, 2),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A request that interrupts guest code.
    AskedGuest,
    /// A request that interrupts any other code.
    AskedHost,
    Timer,
    Event,
    /// A signal that is not belljar's.
    Foreign,
    /// A request to leave the guest that interrupts guest code.
    LeftGuest,
    /// The same, interrupting any other code.
    LeftHost,
    /// The first write to write-protected memory.
    Write,
}

const POLL_IN: c_int = 1;
const POLL_HUP: c_int = 6;

impl Kind {
    fn of(signal: c_int, code: c_int, pc: usize) -> Self {
        match code {
            _ if signal == libc::SIGSEGV => Self::Write,
            libc::SI_QUEUE if signal == leave_signal() && function_at(pc).is_some() => Self::LeftGuest,
            libc::SI_QUEUE if signal == leave_signal() => Self::LeftHost,
            libc::SI_QUEUE if function_at(pc).is_some() => Self::AskedGuest,
            libc::SI_QUEUE => Self::AskedHost,
            libc::SI_TIMER => Self::Timer,
            POLL_IN | POLL_HUP => Self::Event,
            _ => Self::Foreign,
        }
    }
}

/// The number of signals of a kind.
struct Signals {
    handled: AtomicU64,
    stepped: AtomicU64,
}

static SIGNALS: [Signals; KINDS.len()] =
    [const { Signals { handled: AtomicU64::new(0), stepped: AtomicU64::new(0) } }; KINDS.len()];

/// One of this many signals of a kind is stepped, until there were enough.
const SPREAD: u64 = 7;

/// Rare kinds, of which each signal is stepped.
const RARE: [Kind; 3] = [Kind::LeftGuest, Kind::LeftHost, Kind::Write];

impl Signals {
    fn of(kind: Kind) -> &'static Self {
        &SIGNALS[kind as usize]
    }

    /// Counts a signal, and returns whether to step it.
    fn count(&self, kind: Kind, enough: u64) -> bool {
        let spread = if RARE.contains(&kind) { 1 } else { SPREAD };
        let is_stepped =
            self.handled.fetch_add(1, Relaxed).is_multiple_of(spread) && self.stepped.load(Relaxed) < enough;
        self.stepped.fetch_add(u64::from(is_stepped), Relaxed);
        is_stepped
    }
}

/// The address of belljar's handler.
static OURS: AtomicUsize = AtomicUsize::new(0);
/// Signals that belljar's handler passed on to the one before it.
static PASSED_ON: AtomicU64 = AtomicU64::new(0);
/// Signals after which the interrupted thread's error number had changed.
static ERRORS_LOST: AtomicU64 = AtomicU64::new(0);

fn watch_signal() -> c_int {
    libc::SIGRTMIN() + 5
}

fn leave_signal() -> c_int {
    libc::SIGRTMIN() + 6
}

extern "C" fn before_ours(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    PASSED_ON.fetch_add(1, Relaxed);
}

unsafe extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes structures of these types; belljar's handler was installed for this signal, and stored
    // before this one was installed.
    let (code, pc, ours) = unsafe {
        let registers = &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let pc = registers[libc::REG_RIP as usize] as usize;
        ((*info).si_code, pc, std::mem::transmute::<usize, Handler>(OURS.load(Acquire)))
    };
    // SAFETY: the error number is the thread's own.
    let error = || unsafe { *libc::__errno_location() };
    // SAFETY: as above.
    let is_fault = unsafe { signal == libc::SIGSEGV && !is_write(info, context) };
    if is_fault {
        // A trap of a guest, which may take any time and lock; or one of the test.
        // SAFETY: with the arguments that the kernel passed.
        return unsafe { ours(signal, info, context) };
    }
    let (kind, before) = (Kind::of(signal, code, pc), error());
    let is_stepped = Signals::of(kind).count(kind, KINDS[kind as usize].1);
    let inside = Inside::enter();
    // SAFETY: with the arguments that the kernel passed.
    unsafe {
        if is_stepped {
            stepped(ours, signal, info, context);
        } else {
            ours(signal, info, context);
        }
    }
    drop(inside);
    ERRORS_LOST.fetch_add(u64::from(error() != before), Relaxed);
}

/// Returns whether a fault is a write to mapped, write-protected memory.
///
/// # Safety
///
/// The arguments are those that the kernel passes for a fault.
unsafe fn is_write(info: *mut libc::siginfo_t, context: *mut c_void) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let registers = &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let pc = registers[libc::REG_RIP as usize] as usize;
        // The bit of the processor's error code for writes. Guests also write beyond their memories.
        let writes = registers[libc::REG_ERR as usize] & 2 != 0;
        (*info).si_code == 2 && writes && function_at(pc).is_some() && IN_BOUNDS.load(Relaxed)
    }
}

/// Whether the running guest writes only to its memory.
static IN_BOUNDS: AtomicBool = AtomicBool::new(false);

/// Replaces the handler of a signal, and returns the address of the previous one.
fn replace(signal: c_int, handler: usize, flags: Option<c_int>) -> usize {
    // SAFETY: the structures consist of numbers and pointers, for which zero is valid; the handlers above are
    // async-signal-safe.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        assert_eq!(libc::sigaction(signal, std::ptr::null(), &mut action), 0);
        let before = std::mem::replace(&mut action.sa_sigaction, handler);
        action.sa_flags = flags.unwrap_or(action.sa_flags);
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
        before
    }
}

/// Creates an engine whose watch signal reaches [`on_signal`] first.
fn engine() -> Engine {
    replace(watch_signal(), before_ours as *const () as usize, Some(libc::SA_SIGINFO));
    let engine = Engine::default();
    // A runtime installs belljar's handler.
    let _ = Store::new(&engine, ());
    // SAFETY: as for `replace`, with no action to install.
    let ours = unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        assert_eq!(libc::sigaction(watch_signal(), std::ptr::null(), &mut action), 0);
        action.sa_sigaction
    };
    assert_ne!(ours, before_ours as *const () as usize);
    OURS.store(ours, Release);
    for signal in [watch_signal(), leave_signal(), libc::SIGSEGV] {
        assert_eq!(replace(signal, on_signal as *const () as usize, None), ours);
    }
    steps::install();
    engine
}

/// Sends a thread of this process the watch signal with another code. A thread may send codes of 0 and more only to
/// itself.
fn send(thread: i32, code: c_int) {
    // SAFETY: a structure of numbers, of the size that the kernel expects.
    unsafe {
        let mut info = std::mem::zeroed::<libc::siginfo_t>();
        (info.si_signo, info.si_code) = (watch_signal(), code);
        let process = libc::getpid();
        let sent =
            libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, info.si_signo, &raw const info);
        assert_eq!(sent, 0);
    }
}

/// Makes the current thread handle signals on a stack with room for two nested handlers.
fn make_room_for_signals() {
    let room = Box::leak(vec![0_u8; 256 << 10].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: room.as_mut_ptr().cast(), ss_flags: 0, ss_size: room.len() };
    // SAFETY: the memory has no other user, and is never freed.
    assert_eq!(unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) }, 0);
}

/// Data that both the guest's host function and the observing thread lock.
static CONTENDED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

fn contended() -> MutexGuard<'static, Vec<Vec<u8>>> {
    CONTENDED.lock().unwrap()
}

/// The code of the signal that the guest's thread is to send itself, once; 0 for none.
static WANTED: AtomicI32 = AtomicI32::new(0);

/// Spends most of its time allocating and taking locks.
fn allocate_and_lock() {
    let code = WANTED.swap(0, AcqRel);
    if code != 0 {
        send(thread_id(), code);
    }
    for i in 0..20_usize {
        let block = vec![i as u8; 1 << (i % 19)];
        let mut blocks = contended();
        blocks.push(block);
        if blocks.len() > 40 {
            blocks.clear();
        }
    }
}

type Run = Box<dyn FnMut() -> i32 + Send>;

/// Spends most of its time in guest code.
const SPIN: &str = "(module (func (export \"spin\") (param $n i32) (result i32) (local $sum i32)
    (loop $l
        (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (local.get $n)))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))";

/// Returns the shared program and a loop, and their store's inspector.
fn guest(engine: &Engine) -> (Run, belljar::Inspector) {
    let module = Module::new(engine, PROGRAM).unwrap();
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("", "host", |mut caller: Caller<'_, ()>, x: i32| -> Result<i32, Error> {
            if x % 16 == 0 {
                allocate_and_lock();
            }
            let again = caller.get_export("again").and_then(|again| again.into_func()).unwrap();
            match again.typed::<i32, i32>(&caller)?.call(&mut caller, x) {
                Ok(result) => Ok(result),
                Err(error) if error.downcast_ref::<Trap>().is_some() => Ok(-1),
                Err(_) => Ok(-2),
            }
        })
        .unwrap();
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    let spin = linker.instantiate(&mut store, &Module::new(engine, SPIN).unwrap()).unwrap();
    let spin = spin.get_typed_func::<i32, i32>(&mut store, "spin").unwrap();
    let inspector = store.inspector();
    let run = move || run.call(&mut store, 50).unwrap() ^ spin.call(&mut store, 3_000_000).unwrap();
    (Box::new(run), inspector)
}

/// A sandbox's guest: it spins, makes a host function allocate, or writes to rarely written pages.
const SANDBOX: &str = r#"(module (import "" "host" (func $host)) (memory 16)
    (func (export "usual") (i32.store (i32.const 8) (i32.const 1)))
    (func (export "elsewhere") (param i32) (i32.store (local.get 0) (i32.const 1)))
    (func (export "spin") (loop (br 0)))
    (func (export "host") (loop (call $host) (br 0))))"#;

/// Whether the sandbox's guest is in a call that only a kill ends.
static IS_ENDLESS: AtomicBool = AtomicBool::new(false);

fn end_what_is_endless(killer: &SandboxKillHandle) {
    if IS_ENDLESS.load(Relaxed) {
        killer.kill("it has run for long enough").unwrap();
    }
}

/// Returns a sandbox and the handle that ends its calls.
fn sandbox(engine: &Engine) -> (impl FnMut() + Send + 'static, SandboxKillHandle) {
    let module = Module::new(engine, SANDBOX).unwrap();
    let mut linker = Linker::new(engine);
    linker.func_wrap("", "host", allocate_and_lock).unwrap();
    let pre = linker.instantiate_pre(&module).unwrap();
    let mut sandbox = SandboxTemplate::new(pre, || Ok(())).build().unwrap();
    let handle = sandbox.kill_handle();
    // After each write to a protected page, more calls are needed until the memory is protected again.
    let mut usual = 20;
    let run = move || {
        for endless in ["spin", "host"] {
            IS_ENDLESS.store(true, Relaxed);
            let error = sandbox.call::<(), ()>(endless, ()).unwrap_err();
            IS_ENDLESS.store(false, Relaxed);
            assert!(error.is::<Killed>(), "{error:#}");
        }
        if usual < 10_000 {
            (0..usual).for_each(|_| sandbox.call::<(), ()>("usual", ()).unwrap());
            usual *= 4;
            IN_BOUNDS.store(true, Relaxed);
            // A page that was written once is not protected again.
            sandbox.call::<i32, ()>("elsewhere", 50 * usual).unwrap();
            IN_BOUNDS.store(false, Relaxed);
        }
    };
    (run, handle)
}

/// Tests share counters and steps.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|e| e.into_inner())
}

/// Functions that must have been seen, which shows that the check works.
const SEEN: &[&str] = &[
    "machine::faults::handle_signal",
    "machine::faults::handle",
    "machine::requests::answer",
    "store_monitor::answer",
    "machine::signal_walk::walk",
    "ProgramState::caller",
    "machine::signal_walk::outermost",
    "InStub::of",
    "Prologue::at",
    "code_table::is_code",
    "code_table::function_at",
    "code_table::with_text",
    "sampling::sample",
    "sample_ring::SampleWriter::push",
    "sample_ring::SampleWriter::finish",
    "CpuTimer::used",
    "CpuTimer::rearm",
    "sys::cpu_clock::monotonic_time",
    "sys::stack::thread_id",
    "rustix::thread::futex::wake",
    "sys::write_watch::record_write",
    "sys::map::make_writable",
];

#[test]
fn the_handler_takes_nothing_that_may_be_held() {
    let _alone = alone();
    let engine = engine();
    let (mut run, inspector) = guest(&engine);
    let (mut in_sandbox, killer) = sandbox(&engine);
    let expected = run();
    let sampler = Sampler::start(Duration::from_millis(1)).unwrap();
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    let (tell_id, id) = mpsc::channel();
    let (tell_runs, runs) = mpsc::channel();
    // There is a timeout for every wait for this thread, in case of a deadlock.
    let guest = std::thread::spawn(move || {
        make_room_for_signals();
        let (_, mut runs) = (tell_id.send(thread_id()), 0);
        while !IS_OVER.load(Relaxed) {
            assert_eq!(run(), expected);
            in_sandbox();
            runs += 1;
        }
        tell_runs.send(runs)
    });
    let thread = id.recv_timeout(TIMEOUT).unwrap();
    let (mut captures, mut samples) = (0, 0);
    let is_enough = |(kind, enough): &(Kind, u64)| Signals::of(*kind).stepped.load(Relaxed) == *enough;
    while captures < 5000 || samples < 50 || !KINDS.iter().all(is_enough) {
        assert!(!guest.is_finished());
        inspector.capture(TIMEOUT).unwrap();
        end_what_is_endless(&killer);
        captures += 1;
        drop(contended().pop());
        if captures % 64 == 0 {
            samples += sampler.take().samples.len();
            send(thread, libc::SI_TIMER);
            send(thread, libc::SI_ASYNCIO);
            WANTED.store(if captures % 128 == 0 { POLL_IN } else { POLL_HUP }, Release);
        }
    }
    IS_OVER.store(true, Relaxed);
    let end = Instant::now() + TIMEOUT;
    let runs = loop {
        match runs.recv_timeout(Duration::from_millis(1)) {
            Ok(runs) => break runs,
            Err(_) => end_what_is_endless(&killer),
        }
        assert!(Instant::now() < end);
    };
    guest.join().unwrap().unwrap();
    drop(sampler);
    println!("{runs} runs, {captures} captures, {samples} samples, {} instructions stepped", steps::count());
    for ((kind, _), signals) in KINDS.iter().zip(&SIGNALS) {
        println!("{kind:?}: {:?} handled, {:?} of them stepped", signals.handled, signals.stepped);
    }
    assert_eq!(ERRORS_LOST.load(Relaxed), 0);
    assert_eq!(PASSED_ON.load(Relaxed), Signals::of(Kind::Foreign).handled.load(Relaxed));

    let program = std::fs::read("/proc/self/exe").unwrap();
    let symbols = Symbols::of(&program);
    let executed = steps::take();
    let functions = symbols.functions(&executed);
    println!("{} instructions of {} functions:", executed.len(), functions.len());
    functions.keys().for_each(|name| println!("    {name}"));
    for name in SEEN {
        assert!(functions.keys().any(|function| function.ends_with(name)), "{name} was not seen");
    }
    let denied: Vec<_> =
        functions.iter().filter_map(|(name, address)| Some((why_denied(name)?, name, address))).collect();
    assert!(denied.is_empty(), "in the handler {denied:#x?}");
    let mut of_thread = executed;
    // SAFETY: they were executed. (Libraries have their own thread-locals, which exist from the start of a thread.)
    of_thread.retain(|address| symbols.is_program(*address) && unsafe { is_of_thread(*address) });
    assert!(of_thread.is_empty(), "thread-locals are touched in {:#x?}", symbols.functions(&of_thread));
}

/// Does one of the things that stepping must find.
unsafe extern "C" fn offend(which: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    static FREE: Mutex<u32> = Mutex::new(0);
    static ONCE: OnceLock<u32> = OnceLock::new();
    thread_local! {
        static LAZY: RefCell<Vec<u8>> = RefCell::new(vec![1]);
        static PLAIN: Cell<u32> = const { Cell::new(0) };
    }
    match which {
        0 => *FREE.lock().unwrap() += 1,
        1 => drop(std::hint::black_box(Box::new(which))),
        2 => _ = std::hint::black_box(ONCE.get_or_init(|| 1)),
        3 => LAZY.with(|lazy| lazy.borrow_mut()[0] += 1),
        4 => _ = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(()))),
        5 => _ = std::hint::black_box(format!("{which}")),
        _ => PLAIN.set(PLAIN.get() + 1),
    }
}

#[test]
fn stepping_finds_what_is_denied() {
    let _alone = alone();
    steps::install();
    make_room_for_signals();
    let program = std::fs::read("/proc/self/exe").unwrap();
    let symbols = Symbols::of(&program);
    let reasons = ["a lock", "memory", "when it is first used", "thread-local", "panic", "text"];
    for (which, reason) in reasons.into_iter().enumerate() {
        steps::take();
        // SAFETY: it does not use the pointers.
        unsafe { stepped(offend, which as c_int, std::ptr::null_mut(), std::ptr::null_mut()) };
        let functions = symbols.functions(&steps::take());
        let found: Vec<_> = functions.keys().filter_map(|name| why_denied(name)).collect();
        assert!(found.iter().any(|why| why.contains(reason)), "{reason}: {found:?} in {functions:#?}");
    }
    // SAFETY: as above; the addresses were executed.
    unsafe {
        stepped(offend, reasons.len() as c_int, std::ptr::null_mut(), std::ptr::null_mut());
        assert!(
            steps::take().into_iter().any(|address| symbols.is_program(address) && is_of_thread(address))
        );
    }
}

/// Runs this test alone in its own process, which must abort with this message.
fn dies(test: &str, says: &str) {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this)
        .args(["--exact", test, "--nocapture"])
        .env("BELLJAR_TEST_CHILD", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
    assert!(text.contains(says), "{text}");
}

fn is_child() -> bool {
    std::env::var_os("BELLJAR_TEST_CHILD").is_some()
}

#[test]
fn who_allocates_in_the_handler_dies() {
    if is_child() {
        let _inside = Inside::enter();
        drop(std::hint::black_box(Box::new(1)));
    }
    dies("who_allocates_in_the_handler_dies", "the handler allocates");
}

#[test]
fn who_frees_in_the_handler_dies() {
    if is_child() {
        let block = std::hint::black_box(Box::new(1));
        let _inside = Inside::enter();
        drop(block);
    }
    dies("who_frees_in_the_handler_dies", "the handler frees memory");
}

#[test]
fn who_waits_for_a_lock_in_the_handler_dies() {
    if is_child() {
        let lock = Mutex::new(());
        let _held = lock.lock().unwrap();
        let _inside = Inside::enter();
        // This would wait forever if the linker did not prefer the test's function.
        drop(lock.lock());
    }
    dies("who_waits_for_a_lock_in_the_handler_dies", "the handler waits for another thread");
}

#[test]
fn who_calls_for_a_lock_in_the_handler_dies() {
    if is_child() {
        let mut lock = libc::PTHREAD_MUTEX_INITIALIZER;
        let _inside = Inside::enter();
        // SAFETY: the lock is initialised and free.
        unsafe { libc::pthread_mutex_lock(&mut lock) };
    }
    dies("who_calls_for_a_lock_in_the_handler_dies", "the handler calls pthread_mutex_lock");
}

/// Waiting for locks outside the handler works as usual.
#[test]
fn who_waits_for_a_lock_elsewhere_gets_it() {
    let _alone = alone();
    let lock = Mutex::new(1);
    let (held, before, end) = (lock.lock().unwrap(), shims::WAITS.load(Relaxed), Instant::now() + TIMEOUT);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| *lock.lock().unwrap());
        while shims::WAITS.load(Relaxed) == before {
            assert!(Instant::now() < end);
            std::thread::yield_now();
        }
        drop(held);
        assert_eq!(other.join().unwrap(), 1);
    });
}
