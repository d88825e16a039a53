//! The handler of the watch signal does nothing that what it interrupts may be in the midst of: it takes no lock, allocates
//! nothing, and touches nothing that is made when it is first used.
//!
//! The test puts a handler of its own before belljar's, which says that the thread is inside while belljar's runs. Whoever
//! allocates or waits for a lock there ends the process ([`shims`]). A lock that nobody holds is taken without a call: so some
//! of the signals are handled one instruction at a time ([`steps`]), and what was executed then is looked up by name
//! ([`functions`]).

mod functions;
mod inside;
mod shims;
mod steps;

use belljar::{Caller, Engine, Error, Linker, Module, Store, Trap};
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

/// So long a thread that is not dead-locked takes at most, on whatever machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What a signal is about, and how many of its kind are stepped. A step takes as long as a signal, and a handler has thousands.
const KINDS: [(Kind, u64); 5] =
    [(Kind::AskedGuest, 8), (Kind::AskedHost, 8), (Kind::Timer, 4), (Kind::Event, 4), (Kind::Foreign, 2)];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A question, which meets guest code.
    AskedGuest,
    /// A question, which meets anything else.
    AskedHost,
    Timer,
    Event,
    /// It is none of belljar's.
    Foreign,
}

const POLL_IN: c_int = 1;
const POLL_HUP: c_int = 6;

impl Kind {
    fn of(code: c_int, pc: usize) -> Self {
        match code {
            libc::SI_QUEUE if function_at(pc).is_some() => Self::AskedGuest,
            libc::SI_QUEUE => Self::AskedHost,
            libc::SI_TIMER => Self::Timer,
            POLL_IN | POLL_HUP => Self::Event,
            _ => Self::Foreign,
        }
    }
}

/// How many signals of a kind there were.
struct Signals {
    handled: AtomicU64,
    stepped: AtomicU64,
}

static SIGNALS: [Signals; KINDS.len()] =
    [const { Signals { handled: AtomicU64::new(0), stepped: AtomicU64::new(0) } }; KINDS.len()];

/// Of signals of a kind, one of so many is stepped, until there were enough.
const SPREAD: u64 = 7;

impl Signals {
    fn of(kind: Kind) -> &'static Self {
        &SIGNALS[kind as usize]
    }

    /// Counts one more, and says whether it is to be stepped.
    fn count(&self, enough: u64) -> bool {
        let is_stepped =
            self.handled.fetch_add(1, Relaxed).is_multiple_of(SPREAD) && self.stepped.load(Relaxed) < enough;
        self.stepped.fetch_add(u64::from(is_stepped), Relaxed);
        is_stepped
    }
}

/// Address of belljar's handler.
static OURS: AtomicUsize = AtomicUsize::new(0);
/// Signals that belljar's handler left to the one that was there before.
static PASSED_ON: AtomicU64 = AtomicU64::new(0);
/// Signals after which the error number of the interrupted thread was another.
static ERRORS_LOST: AtomicU64 = AtomicU64::new(0);

fn watch_signal() -> c_int {
    libc::SIGRTMIN() + 5
}

extern "C" fn before_ours(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    PASSED_ON.fetch_add(1, Relaxed);
}

unsafe extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes structures of these types; belljar's handler was installed for this signal, and stored before
    // this one was installed.
    let (code, pc, ours) = unsafe {
        let registers = &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let pc = registers[libc::REG_RIP as usize] as usize;
        ((*info).si_code, pc, std::mem::transmute::<usize, Handler>(OURS.load(Acquire)))
    };
    // SAFETY: the thread's own.
    let error = || unsafe { *libc::__errno_location() };
    let (kind, before) = (Kind::of(code, pc), error());
    let is_stepped = Signals::of(kind).count(KINDS[kind as usize].1);
    let inside = Inside::enter();
    // SAFETY: with the arguments that the kernel gave.
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

/// Puts a handler in the place of another of the watch signal, and returns that one's address.
fn replace(handler: usize, flags: Option<c_int>) -> usize {
    // SAFETY: the structures are of numbers and pointers, for which zero is valid; the handlers above are async-signal-safe.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        assert_eq!(libc::sigaction(watch_signal(), std::ptr::null(), &mut action), 0);
        let before = std::mem::replace(&mut action.sa_sigaction, handler);
        action.sa_flags = flags.unwrap_or(action.sa_flags);
        assert_eq!(libc::sigaction(watch_signal(), &action, std::ptr::null_mut()), 0);
        before
    }
}

/// An engine whose watch signal comes to [`on_signal`] first.
fn engine() -> Engine {
    replace(before_ours as *const () as usize, Some(libc::SA_SIGINFO));
    let engine = Engine::default();
    // A runtime installs belljar's.
    let _ = Store::new(&engine, ());
    // SAFETY: as for `replace`, with no action to install.
    let ours = unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        assert_eq!(libc::sigaction(watch_signal(), std::ptr::null(), &mut action), 0);
        action.sa_sigaction
    };
    assert_ne!(ours, before_ours as *const () as usize);
    OURS.store(ours, Release);
    assert_eq!(replace(on_signal as *const () as usize, None), ours);
    steps::install();
    engine
}

/// Sends a thread of this process the watch signal as it comes for another reason. Codes of 0 and more a thread may only send to
/// itself.
fn send(thread: i32, code: c_int) {
    // SAFETY: a structure of numbers, as large as the kernel expects.
    unsafe {
        let mut info = std::mem::zeroed::<libc::siginfo_t>();
        (info.si_signo, info.si_code) = (watch_signal(), code);
        let process = libc::getpid();
        let sent =
            libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, info.si_signo, &raw const info);
        assert_eq!(sent, 0);
    }
}

/// Has the current thread handle signals on a stack on which there is room for two handlers, one in the other.
fn make_room_for_signals() {
    let room = Box::leak(vec![0_u8; 256 << 10].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: room.as_mut_ptr().cast(), ss_flags: 0, ss_size: room.len() };
    // SAFETY: the memory is nobody else's, and stays.
    assert_eq!(unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) }, 0);
}

/// What the guest's host function and the thread that asks both want.
static CONTENDED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

fn contended() -> MutexGuard<'static, Vec<Vec<u8>>> {
    CONTENDED.lock().unwrap()
}

/// Code of the signal that the guest's thread is to send itself, once; 0 for none.
static WANTED: AtomicI32 = AtomicI32::new(0);

/// Is in the midst of allocating and of taking locks for most of its time.
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

/// For most of its time in guest code.
const SPIN: &str = "(module (func (export \"spin\") (param $n i32) (result i32) (local $sum i32)
    (loop $l
        (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (local.get $n)))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))";

/// The shared program and a loop, and their store's inspector.
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

/// Tests share what is counted and stepped.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|e| e.into_inner())
}

/// What must be among the functions, so that there is something that was looked at.
const SEEN: &[&str] = &[
    "sys::signals::handler",
    "sys::watching::take",
    "sys::watching::answer",
    "watched::answer",
    "running::walk",
    "running::caller",
    "running::outermost",
    "sys::stubs::in_stub",
    "sys::frames::frame_at",
    "code_table::is_code",
    "code_table::function_at",
    "code_table::with_text",
    "sampling::sample",
    "sample_ring::Note::push",
    "sample_ring::Note::finish",
    "CpuTimer::used",
    "CpuTimer::go_on",
    "sys::cpu_clock::monotonic_time",
    "sys::stack::thread_id",
    "rustix::thread::futex::wake",
];

#[test]
fn the_handler_takes_nothing_that_may_be_held() {
    let _alone = alone();
    let engine = engine();
    let (mut run, inspector) = guest(&engine);
    let expected = run();
    let sampler = Sampler::start(Duration::from_millis(1)).unwrap();
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    let (tell_id, id) = mpsc::channel();
    let (tell_runs, runs) = mpsc::channel();
    // Whoever waits for it has a limit, in case that it is dead-locked.
    let guest = std::thread::spawn(move || {
        make_room_for_signals();
        let (_, mut runs) = (tell_id.send(thread_id()), 0);
        while !IS_OVER.load(Relaxed) {
            assert_eq!(run(), expected);
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
    let runs = runs.recv_timeout(TIMEOUT).unwrap();
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
    // SAFETY: they were executed. (Libraries have their own thread-locals, which are there from a thread's beginning.)
    of_thread.retain(|address| symbols.is_program(*address) && unsafe { is_of_thread(*address) });
    assert!(of_thread.is_empty(), "thread-locals are touched in {:#x?}", symbols.functions(&of_thread));
}

/// Does one of the things that stepping has to find.
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
        // SAFETY: it makes no use of the pointers.
        unsafe { stepped(offend, which as c_int, std::ptr::null_mut(), std::ptr::null_mut()) };
        let functions = symbols.functions(&steps::take());
        let found: Vec<_> = functions.keys().filter_map(|name| why_denied(name)).collect();
        assert!(found.iter().any(|why| why.contains(reason)), "{reason}: {found:?} in {functions:#?}");
    }
    // SAFETY: as above; what is looked at was executed.
    unsafe {
        stepped(offend, reasons.len() as c_int, std::ptr::null_mut(), std::ptr::null_mut());
        assert!(
            steps::take().into_iter().any(|address| symbols.is_program(address) && is_of_thread(address))
        );
    }
}

/// Runs this test alone in a process of its own, which is to end itself, having said so.
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
        // For ever, if the test's call was not preferred.
        drop(lock.lock());
    }
    dies("who_waits_for_a_lock_in_the_handler_dies", "the handler waits for another thread");
}

#[test]
fn who_calls_for_a_lock_in_the_handler_dies() {
    if is_child() {
        let mut lock = libc::PTHREAD_MUTEX_INITIALIZER;
        let _inside = Inside::enter();
        // SAFETY: the lock is initialised and nobody's.
        unsafe { libc::pthread_mutex_lock(&mut lock) };
    }
    dies("who_calls_for_a_lock_in_the_handler_dies", "the handler calls pthread_mutex_lock");
}

/// Locks that threads wait for outside the handler are as they always are.
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
