//! Signals of the process: installing one handler for all signals that we use, decoding what the kernel reports,
//! sending, and passing on signals that are not ours.
//!
//! Never: interpretation of what a signal means. [`crate::machine`] does that.

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// The signals that a faulting instruction raises.
const FAULTS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// The number of signals with our handler: these, [`walk_signal`] and [`leave_signal`].
const HANDLED: usize = FAULTS.len() + 2;

/// The real-time signal that makes a thread report where its guest is. The process may use it for other purposes as
/// well: signals that are not ours are passed on.
pub(crate) fn walk_signal() -> libc::c_int {
    libc::SIGRTMIN() + 5
}

/// The real-time signal that makes a thread leave its guest. It interrupts waits in the kernel; [`walk_signal`] does
/// not.
pub(crate) fn leave_signal() -> libc::c_int {
    libc::SIGRTMIN() + 6
}

/// A signal handler, as the kernel calls it.
pub(crate) type Handler =
    unsafe extern "C" fn(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void);

/// Proof that our handler is installed.
#[derive(Clone, Copy, Debug)]
pub struct SignalsHandled(());

/// The actions that were installed before ours, in the order of [`handled`]. Each is written once, before our handler is installed.
struct Previous(UnsafeCell<[MaybeUninit<libc::sigaction>; HANDLED]>);

// SAFETY: each element is written once, by `handle_signals` under its `OnceLock`, before the handler that reads it can run; after
// that it is only read.
unsafe impl Sync for Previous {}

static PREVIOUS: Previous = Previous(UnsafeCell::new([const { MaybeUninit::uninit() }; HANDLED]));

fn handled() -> [libc::c_int; HANDLED] {
    let [segv, bus, ill, fpe] = FAULTS;
    [segv, bus, ill, fpe, walk_signal(), leave_signal()]
}

/// Installs the handler, once per process: later calls do nothing.
pub(crate) fn handle_signals(handler: Handler) -> io::Result<SignalsHandled> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    INSTALLED
        .get_or_init(|| {
            handled().into_iter().enumerate().try_for_each(|(i, signal)| install_one(i, signal, handler))
        })
        .map_err(io::Error::from_raw_os_error)?;
    Ok(SignalsHandled(()))
}

fn install_one(i: usize, signal: libc::c_int, handler: Handler) -> Result<(), i32> {
    let last_error = || io::Error::last_os_error().raw_os_error().unwrap_or(0);
    // SAFETY: `sigaction` is plain data for which zero is valid; the previous action is stored before ours is
    // installed, and nothing else writes `PREVIOUS` (its `Sync` argument).
    unsafe {
        let mut before = std::mem::zeroed::<libc::sigaction>();
        if libc::sigaction(signal, std::ptr::null(), &mut before) != 0 {
            return Err(last_error());
        }
        (*PREVIOUS.0.get())[i].write(before);
        let mut action = std::mem::zeroed::<libc::sigaction>();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        if signal != leave_signal() {
            action.sa_flags |= libc::SA_RESTART;
        }
        libc::sigemptyset(&mut action.sa_mask);
        // The guest's stack cannot be walked while a fault is handled.
        libc::sigaddset(&mut action.sa_mask, walk_signal());
        libc::sigaddset(&mut action.sa_mask, leave_signal());
        if libc::sigaction(signal, &action, std::ptr::null_mut()) != 0 {
            return Err(last_error());
        }
    }
    Ok(())
}

/// The kind of event that a signal reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SignalKind {
    /// An access to memory faulted (`SIGSEGV`).
    Memory,
    /// An access to mapped memory failed (`SIGBUS`).
    Bus,
    /// The processor does not know the instruction (`SIGILL`).
    Illegal,
    /// An arithmetic instruction faulted (`SIGFPE`).
    Arithmetic,
    /// [`walk_signal`] or [`leave_signal`].
    Request,
}

/// A signal that has arrived, as the kernel describes it.
#[derive(Clone, Copy)]
pub(crate) struct Signal<'a> {
    number: libc::c_int,
    info: &'a libc::siginfo_t,
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
    value: u64,
    rest: [u64; 12],
}

const _: () = assert!(size_of::<Queued>() == size_of::<libc::siginfo_t>());

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

/// Codes of signals about descriptors.
const POLL_IN: libc::c_int = 1;
const POLL_HUP: libc::c_int = 6;

impl<'a> Signal<'a> {
    pub(crate) fn new(number: libc::c_int, info: &'a libc::siginfo_t) -> Self {
        Self { number, info }
    }

    pub(crate) fn kind(self) -> SignalKind {
        match self.number {
            libc::SIGSEGV => SignalKind::Memory,
            libc::SIGBUS => SignalKind::Bus,
            libc::SIGILL => SignalKind::Illegal,
            libc::SIGFPE => SignalKind::Arithmetic,
            _ => SignalKind::Request,
        }
    }

    /// Returns whether an instruction raised the signal. Otherwise a process sent it, and it has no address.
    pub(crate) fn is_raised(self) -> bool {
        self.info.si_code > 0
    }

    /// Returns whether the accessed memory is mapped, and its protection forbids the access (`SEGV_ACCERR`).
    pub(crate) fn is_protection_fault(self) -> bool {
        self.number == libc::SIGSEGV && self.info.si_code == 2
    }

    /// Returns the accessed address of a [`SignalKind::Memory`] or [`SignalKind::Bus`] that an instruction raised.
    pub(crate) fn address(self) -> usize {
        // SAFETY: the kernel fills in the address of these signals; for others it is a meaningless number.
        unsafe { self.info.si_addr() }.addr()
    }

    /// Returns the number of signals of a timer that were dropped before this one, if a timer or a performance counter
    /// sent it.
    pub(crate) fn timer_overrun(self) -> Option<u64> {
        match self.info.si_code {
            libc::SI_TIMER => {
                // SAFETY: the types have the same size, and all bit patterns are valid.
                let fired = unsafe { &*std::ptr::from_ref(self.info).cast::<Fired>() };
                Some(u64::try_from(fired.overrun).unwrap_or(0))
            }
            POLL_IN | POLL_HUP => Some(0),
            _ => None,
        }
    }

    /// Returns the value that [`queue_signal`] sent with the signal, if this process queued it.
    pub(crate) fn value(self) -> Option<u64> {
        // SAFETY: the types have the same size, and all bit patterns are valid.
        let queued = unsafe { &*std::ptr::from_ref(self.info).cast::<Queued>() };
        // SAFETY: a call without arguments that always succeeds.
        let is_own = queued.code == libc::SI_QUEUE && queued.pid == unsafe { libc::getpid() };
        is_own.then_some(queued.value)
    }

    /// Does what would have happened without our handler.
    ///
    /// # Safety
    ///
    /// The caller is our handler, and was given this signal and this context.
    pub(crate) unsafe fn pass_on(self, context: *mut libc::c_void) {
        let Self { number, info } = self;
        let Some(i) = handled().iter().position(|signal| *signal == number) else { return };
        // SAFETY: `handle_signals` wrote this element before our handler could run; the function that is called is a
        // handler that was installed for this signal, with the arguments that it expects.
        unsafe {
            let before = (*PREVIOUS.0.get())[i].assume_init_ref();
            match before.sa_sigaction {
                libc::SIG_IGN if info.si_code <= 0 => {}
                libc::SIG_DFL | libc::SIG_IGN => {
                    // A faulting instruction runs again, and the kernel applies the default action. A sent signal is
                    // sent again.
                    libc::sigaction(number, before, std::ptr::null_mut());
                    if info.si_code <= 0 {
                        libc::raise(number);
                    }
                }
                handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
                    let handler: extern "C" fn(libc::c_int, *const libc::siginfo_t, *mut libc::c_void) =
                        std::mem::transmute(handler);
                    handler(number, info, context);
                    self.end_if_given_up();
                }
                handler => {
                    let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
                    handler(number);
                    self.end_if_given_up();
                }
            }
        }
    }

    /// Raises a sent signal again if the previous handler reset its disposition to the default. Such a handler, Rust's own for
    /// example, expects the faulting instruction to run again and the default action to end the process; for a sent signal nothing
    /// faults again.
    fn end_if_given_up(self) {
        if self.is_raised() || !FAULTS.contains(&self.number) {
            return;
        }
        // SAFETY: `sigaction` is plain data for which zero is valid; nothing is changed.
        unsafe {
            let mut now = std::mem::zeroed::<libc::sigaction>();
            if libc::sigaction(self.number, std::ptr::null(), &mut now) == 0
                && now.sa_sigaction == libc::SIG_DFL
            {
                libc::raise(self.number);
            }
        }
    }
}

/// Sends a signal with a value to one thread of this process.
///
/// # Errors
///
/// Returns `NotFound` if no thread has this number.
pub(crate) fn queue_signal(thread: i32, signal: libc::c_int, value: u64) -> io::Result<()> {
    // SAFETY: calls without arguments that always succeed.
    let (pid, uid) = unsafe { (libc::getpid(), libc::getuid()) };
    let info = Queued { signal, error: 0, code: libc::SI_QUEUE, padding: 0, pid, uid, value, rest: [0; 12] };
    // SAFETY: the request reads the structure, which has the expected size; our handler is installed.
    let result = unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, pid, thread, signal, &raw const info) };
    match result {
        0 => Ok(()),
        _ => Err(match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => io::ErrorKind::NotFound.into(),
            error => error,
        }),
    }
}

/// Calls a function with all signals blocked on this thread. Async-signal-safe.
pub(crate) fn with_signals_blocked(call: impl FnOnce()) {
    // SAFETY: the signal sets are plain data, filled in before they are used.
    unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        let mut before = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        call();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
    }
}
