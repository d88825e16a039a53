//! The end of a run: one thread reports it, and recordings are completed.

use super::profile;
use crate::output::longest_blocked_write;
use belljar::{Engine, Inspection};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Taken by the thread that reports the end, and never released: other threads that end at the same time, or wait for
/// the guest to end, report nothing.
static EXIT_LOCK: Mutex<()> = Mutex::new(());

/// How long inspection requests may delay the exit: `belljar kill` must get its answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a blocked reader of standard output or error may delay an exit that must happen.
const READER_TIMEOUT: Duration = Duration::from_secs(1);

/// How often to check for blocked writes.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The state of inspection by other processes.
enum InspectionState {
    NotStarted,
    Open(Inspection),
    /// The program is exiting.
    Ended,
}

static INSPECTION: Mutex<InspectionState> = Mutex::new(InspectionState::NotStarted);

/// Starts serving inspection until the end. A failure is ignored: the program runs without it.
pub(super) fn serve_inspection(engine: &Engine) {
    let mut state = INSPECTION.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*state, InspectionState::NotStarted)
        && let Ok(inspection) = engine.serve_inspection()
    {
        *state = InspectionState::Open(inspection);
    }
}

/// Makes this thread the only one that reports how the program ended. Blocks forever if another thread does so already.
pub(super) fn begin_exit() {
    std::mem::forget(EXIT_LOCK.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Completes a run whose end has been reported: writes the profile, and stops serving inspection.
pub(super) fn finish() {
    profile::finish();
    let mut state = INSPECTION.lock().unwrap_or_else(PoisonError::into_inner);
    if let InspectionState::Open(inspection) = std::mem::replace(&mut *state, InspectionState::Ended) {
        inspection.end(CLIENT_TIMEOUT);
    }
}

/// Ensures that a program that must end, because its time is over or it was killed, exits with this code even if nobody
/// reads its messages, or its profile or core dump from a FIFO. Writes to files are waited for.
pub(super) fn exit_despite_blocked_output(code: u8) {
    // If the thread cannot be started, the program ends once its output is read.
    let _ = std::thread::Builder::new().name("end".into()).spawn(move || {
        while longest_blocked_write() < READER_TIMEOUT {
            std::thread::sleep(POLL_INTERVAL);
        }
        std::process::exit(code.into());
    });
}
