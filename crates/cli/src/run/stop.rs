//! Ends a run from outside: `--timeout`, `--cpu-timeout`, the time limits of `--limits`, and Ctrl-C. The guest is
//! killed at any instruction, and its stack is reported.

use super::end;
use super::options::RunOptions;
use crate::exit_code::ExitCode;
use crate::output::complain;
use crate::time_span::TimeSpan;
use belljar::error::Context;
use belljar::{Engine, KillReason, Killed, Limit, Result};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How long a killed guest may take to end. After that it is in a host function that does not return.
const GRACE: Duration = Duration::from_millis(200);

/// The shortest and longest interval between checks of the CPU time.
const CPU_POLL_INTERVALS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// The kill reason of Ctrl-C.
const INTERRUPTED: &str = "Ctrl-C";

/// The names of the options that limit time.
#[derive(Clone, Default, Debug)]
pub(super) struct TimeLimitOptions {
    wall: String,
    cpu: String,
}

impl TimeLimitOptions {
    /// Returns the options that were used.
    pub(super) fn of(options: &RunOptions) -> Self {
        Self { wall: options.option_of(Limit::Wall), cpu: options.option_of(Limit::Cpu) }
    }
}

/// Returns the exit code and message for a guest that was killed.
pub(super) fn kill_outcome(killed: &Killed, names: &TimeLimitOptions) -> (ExitCode, String) {
    match killed.reason() {
        KillReason::WallTime(time) => (
            ExitCode::Timeout,
            format!("the guest was stopped: {} {} has expired", names.wall, TimeSpan(*time)),
        ),
        KillReason::CpuTime(time) => {
            let (time, option) = (TimeSpan(*time), &names.cpu);
            (ExitCode::Timeout, format!("the guest was stopped: {option} {time} is used up"))
        }
        KillReason::Host(why) if &**why == INTERRUPTED => {
            (ExitCode::Interrupted, "the guest was stopped by Ctrl-C".into())
        }
        reason => (ExitCode::Killed, format!("the guest was killed: {reason}")),
    }
}

/// Kills all guests of the program, and exits the process if they do not end.
fn kill_and_exit(engine: &Engine, reason: KillReason, names: &TimeLimitOptions) -> ! {
    let killed = || engine.kill_all(reason.clone());
    killed();
    // Threads may have been about to start a guest.
    let half = GRACE / 2;
    std::thread::sleep(half);
    killed();
    std::thread::sleep(half);
    let (code, message) = kill_outcome(&Killed::from(reason), names);
    end::exit_despite_blocked_output(code as u8);
    end::begin_exit();
    complain(&format!("error: {message}, while it was in a host function that does not return"));
    end::finish();
    std::process::exit(code as i32);
}

fn spawn(name: &str, watch: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = std::thread::Builder::new().name(name.into()).spawn(watch);
    started.with_context(|| format!("could not start the thread for --{name}"))?;
    Ok(())
}

/// Starts the clock of `--timeout`.
///
/// # Errors
///
/// Returns an error if the thread cannot be started.
pub(super) fn start_timeout(engine: &Engine, time: TimeSpan, names: TimeLimitOptions) -> Result<()> {
    let engine = engine.clone();
    spawn("timeout", move || {
        std::thread::sleep(time.0);
        kill_and_exit(&engine, KillReason::WallTime(time.0), &names)
    })
}

/// Starts the clock of `--cpu-timeout`, which counts the CPU time of all threads from now on.
pub(super) fn start_cpu_timeout(engine: &Engine, time: TimeSpan, names: TimeLimitOptions) -> Result<()> {
    let engine = engine.clone();
    spawn("cpu-timeout", move || {
        let base = cpu_time();
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        loop {
            let left = time.0.saturating_sub(cpu_time().saturating_sub(base));
            if left.is_zero() {
                kill_and_exit(&engine, KillReason::CpuTime(time.0), &names);
            }
            // With all processors busy, the limit cannot be reached sooner.
            std::thread::sleep((left / processors).clamp(CPU_POLL_INTERVALS.0, CPU_POLL_INTERVALS.1));
        }
    })
}

/// Returns the CPU time that the process has used.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Makes Ctrl-C kill the guest. A second Ctrl-C exits the process.
pub(super) fn kill_on_interrupt(engine: &Engine) {
    let engine = engine.clone();
    let mut is_first = true;
    // If setting the handler fails, Ctrl-C ends the process at once. The parent process may have made it ignore Ctrl-C.
    let _ = ctrlc::try_set_handler(move || {
        if !std::mem::take(&mut is_first) {
            std::process::exit(ExitCode::Interrupted as i32);
        }
        let engine = engine.clone();
        let stopped = std::thread::Builder::new()
            .spawn(move || kill_and_exit(&engine, INTERRUPTED.into(), &TimeLimitOptions::default()));
        if stopped.is_err() {
            std::process::exit(ExitCode::Interrupted as i32);
        }
    });
}
