//! Injects failures of system calls: a test process is traced, and one of its calls between two marks fails without
//! being made.

use std::ffi::{c_int, c_long};
use std::process::Command;
use std::ptr::null_mut;

/// Numbers of system calls that do not exist. They send a message to the tracer.
const BEGIN: c_long = 0x6c61_7701;
const END: c_long = 0x6c61_7702;

/// Selects the calls that fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The ordinal number of the call among those that can fail.
    pub(crate) nth: u64,
    /// The index of the error among those that the call can return; if it is too large, there is none.
    pub(crate) error: u64,
    /// Whether all following calls fail as well.
    pub(crate) from_then_on: bool,
}

/// The calls that can fail, each with the errors that the kernel may return. If a call is missing, belljar could do
/// nothing about its failure.
const ERRORS: &[(c_long, &[c_int])] = &[
    (libc::SYS_mmap, &[libc::ENOMEM, libc::EAGAIN]),
    (libc::SYS_munmap, &[libc::ENOMEM]),
    (libc::SYS_mprotect, &[libc::ENOMEM, libc::EACCES]),
    (libc::SYS_madvise, &[libc::ENOMEM, libc::EAGAIN, libc::EINVAL, libc::EINTR]),
    (libc::SYS_mremap, &[libc::ENOMEM, libc::EINVAL, libc::EFAULT]),
    (libc::SYS_ioctl, &[libc::ENOMEM, libc::EPERM, libc::ENOSYS, libc::EINVAL, libc::EINTR, libc::ENOTTY]),
    (libc::SYS_memfd_create, &[libc::ENOMEM, libc::EMFILE, libc::ENFILE]),
    (libc::SYS_ftruncate, &[libc::ENOSPC, libc::EINTR]),
    (libc::SYS_pwrite64, &[libc::ENOSPC, libc::EINTR]),
    (libc::SYS_fcntl, &[libc::EBUSY]),
    (libc::SYS_openat, &[libc::ENOENT, libc::EMFILE, libc::EACCES]),
    (libc::SYS_clone3, &[libc::EAGAIN]),
    (libc::SYS_clone, &[libc::EAGAIN]),
    (libc::SYS_sigaltstack, &[libc::ENOMEM]),
    (libc::SYS_timer_create, &[libc::EAGAIN]),
];

/// The largest number of errors of a call.
pub(crate) const MOST_ERRORS: u64 = 6;

/// Calls that may fail permanently. The allocator also makes the others, whose failure Rust does not survive.
const LASTING: &[c_long] = &[libc::SYS_ioctl, libc::SYS_madvise, libc::SYS_mremap, libc::SYS_memfd_create];

/// In the traced process: makes a call of this thread fail from now on.
pub(crate) fn begin(fault: Fault) {
    let Fault { nth, error, from_then_on } = fault;
    // SAFETY: there is no such system call; the tracer reads its arguments.
    unsafe { libc::syscall(BEGIN, nth, error, u64::from(from_then_on)) };
}

/// In the traced process: ends the failures. Returns whether a call failed.
pub(crate) fn end() -> bool {
    // SAFETY: as in `begin`.
    let failed = unsafe { libc::syscall(END) };
    assert!(failed >= 0, "nobody traces this process");
    failed > 0
}

/// In the process that is to be traced: starts tracing this thread.
pub(crate) fn be_traced() {
    // SAFETY: the parent waits for this; the signal stops only this thread. If the test hangs, the alarm ends it.
    unsafe {
        libc::alarm(400);
        assert_eq!(libc::ptrace(libc::PTRACE_TRACEME, 0, null_mut::<u8>(), null_mut::<u8>()), 0);
        libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::syscall(libc::SYS_gettid), libc::SIGSTOP);
    }
}

#[derive(Default)]
struct Tracer {
    fault: Option<Fault>,
    /// Calls since the mark that could have failed.
    count: u64,
    failed: bool,
    /// Whether the thread is in a system call, and the result to give it.
    is_inside: bool,
    result: Option<i64>,
}

impl Tracer {
    /// Handles a stop before or after a system call.
    fn stopped(&mut self, thread: libc::pid_t) {
        self.is_inside = !self.is_inside;
        if !self.is_inside {
            if let Some(result) = self.result.take() {
                with_registers(thread, |registers| registers.rax = result as u64);
            }
            return;
        }
        with_registers(thread, |registers| {
            let call = registers.orig_rax as c_long;
            match call {
                BEGIN => {
                    self.fault = Some(Fault {
                        nth: registers.rdi,
                        error: registers.rsi,
                        from_then_on: registers.rdx != 0,
                    });
                    (self.count, self.failed) = (0, false);
                }
                END => {
                    self.fault = None;
                    self.result = Some(i64::from(self.failed));
                }
                _ => {
                    let Some(errno) = self.error_of(call) else { return };
                    self.failed = true;
                    self.result = Some(-i64::from(errno));
                    registers.orig_rax = u64::MAX;
                }
            }
        });
    }

    fn error_of(&mut self, call: c_long) -> Option<c_int> {
        let fault = self.fault?;
        if fault.from_then_on && !LASTING.contains(&call) {
            return None;
        }
        let (_, errors) = ERRORS.iter().find(|(of, _)| *of == call)?;
        let errno = *errors.get(fault.error as usize)?;
        self.count += 1;
        (self.count == fault.nth || fault.from_then_on && self.count > fault.nth).then_some(errno)
    }
}

fn with_registers(thread: libc::pid_t, change: impl FnOnce(&mut libc::user_regs_struct)) {
    // SAFETY: numbers, for which zero is valid.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: the thread is stopped and traced by this one; the kernel fills in the structure.
    let got = unsafe { libc::ptrace(libc::PTRACE_GETREGS, thread, null_mut::<u8>(), &raw mut registers) };
    assert_eq!(got, 0);
    change(&mut registers);
    // SAFETY: as above, from the structure.
    let set = unsafe { libc::ptrace(libc::PTRACE_SETREGS, thread, null_mut::<u8>(), &raw mut registers) };
    assert_eq!(set, 0);
}

/// Runs a program, one of whose threads asks to be traced, until it ends. Returns its status as `waitpid` does.
pub(crate) fn trace(command: &mut Command) -> c_int {
    let child = command.spawn().expect("a process").id() as libc::pid_t;
    let mut tracer = Tracer::default();
    loop {
        let mut status = 0;
        // SAFETY: waits for children of this thread alone.
        let who = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        assert!(who > 0, "{}", std::io::Error::last_os_error());
        if !libc::WIFSTOPPED(status) {
            if who == child {
                return status;
            }
            continue;
        }
        let signal = match libc::WSTOPSIG(status) {
            libc::SIGSTOP => {
                let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
                // SAFETY: the thread is stopped and traced by this one.
                unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, who, null_mut::<u8>(), options) };
                0
            }
            signal if signal == libc::SIGTRAP | 0x80 => {
                tracer.stopped(who);
                0
            }
            signal => signal,
        };
        // SAFETY: as above; the thread continues up to the next system call.
        unsafe { libc::ptrace(libc::PTRACE_SYSCALL, who, null_mut::<u8>(), c_long::from(signal)) };
    }
}
