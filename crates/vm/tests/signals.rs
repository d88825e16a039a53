//! Faults that are not a guest's go to the handler that was installed before ours. Each case runs in its own process.

use belljar_abi::CompiledFunction;
use belljar_core::FuncType;
use belljar_vm::{Runtime, RuntimeSettings, TrampolineKind, TrampolineSource};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

struct NoTrampolines;

impl TrampolineSource for NoTrampolines {
    fn trampoline(&self, _: TrampolineKind, _: &FuncType) -> belljar_core::Result<CompiledFunction> {
        belljar_core::bail!("no compiler here")
    }
}

/// Runs this test binary again with only `test`, as the child process.
fn child(test: &str) -> ExitStatus {
    let this = std::env::current_exe().expect("this test's own path");
    Command::new(this)
        .args(["--exact", test, "--nocapture"])
        .env("BELLJAR_TEST_CHILD", "1")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .expect("the child runs")
}

fn is_child() -> bool {
    std::env::var_os("BELLJAR_TEST_CHILD").is_some()
}

fn runtime() {
    std::mem::forget(Runtime::new(RuntimeSettings::default(), Box::new(NoTrampolines)).expect("a runtime"));
}

/// An access of the host itself that faults.
fn fault() {
    // SAFETY: none: the fault is what is tested, and the process ends with it.
    unsafe { std::ptr::without_provenance::<u8>(8).read_volatile() };
}

extern "C" fn exit_42(_: libc::c_int, _: *const libc::siginfo_t, _: *const libc::c_void) {
    // SAFETY: ends the process; async-signal-safe.
    unsafe { libc::_exit(42) };
}

extern "C" fn plain_43(_: libc::c_int) {
    // SAFETY: as above.
    unsafe { libc::_exit(43) };
}

fn install(handler: usize, flags: libc::c_int) {
    // SAFETY: the action is initialised, the handlers above are async-signal-safe.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut()), 0);
    }
}

#[test]
fn a_handler_with_information_gets_the_fault() {
    if is_child() {
        install(exit_42 as *const () as usize, libc::SA_SIGINFO);
        runtime();
        fault();
    }
    assert_eq!(child("a_handler_with_information_gets_the_fault").code(), Some(42));
}

#[test]
fn a_plain_handler_gets_the_fault() {
    if is_child() {
        install(plain_43 as *const () as usize, 0);
        runtime();
        fault();
    }
    assert_eq!(child("a_plain_handler_gets_the_fault").code(), Some(43));
}

#[test]
fn without_a_handler_the_process_dies_of_the_fault() {
    if is_child() {
        install(libc::SIG_DFL, 0);
        runtime();
        fault();
    }
    assert_eq!(child("without_a_handler_the_process_dies_of_the_fault").signal(), Some(libc::SIGSEGV));
}

#[test]
fn a_signal_that_was_sent_acts_as_without_us() {
    if is_child() {
        install(libc::SIG_DFL, 0);
        runtime();
        // SAFETY: sends this thread a signal.
        unsafe { libc::raise(libc::SIGSEGV) };
    }
    assert_eq!(child("a_signal_that_was_sent_acts_as_without_us").signal(), Some(libc::SIGSEGV));
}
