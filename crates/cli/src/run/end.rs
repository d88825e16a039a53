//! Which thread tells how the program ended: the first whose end it is.

use super::profile;
use crate::output::longest_blocked_write;
use belljar::{Engine, Inspection};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Held by the thread whose end is the program's, and never given back: others that end at the same time, or wait for the guest
/// to do so, have nothing to tell.
static EXIT_LOCK: Mutex<()> = Mutex::new(());

/// How long those who asked about the program may keep it from exiting: whoever killed it is to be told so.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long those who do not read what is told of the end may keep a program from ending that has to.
const READER_TIMEOUT: Duration = Duration::from_secs(1);

/// How often they are looked after.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Whether other processes can look.
enum InspectionState {
    NotStarted,
    Open(Inspection),
    /// The program has ended.
    Ended,
}

static INSPECTION: Mutex<InspectionState> = Mutex::new(InspectionState::NotStarted);

/// Lets other processes look, up to the end. That they cannot is no reason not to run.
pub(super) fn serve_inspection(engine: &Engine) {
    let mut state = INSPECTION.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*state, InspectionState::NotStarted)
        && let Ok(inspection) = engine.serve_inspection()
    {
        *state = InspectionState::Open(inspection);
    }
}

/// From here on this thread alone tells how the program ended.
pub(super) fn begin_exit() {
    std::mem::forget(EXIT_LOCK.lock().unwrap_or_else(PoisonError::into_inner));
}

/// After the end has been told: what was recorded of the run is written now, and nobody can look any more.
pub(super) fn finish() {
    profile::finish();
    let mut state = INSPECTION.lock().unwrap_or_else(PoisonError::into_inner);
    if let InspectionState::Open(inspection) = std::mem::replace(&mut *state, InspectionState::Ended) {
        inspection.end(CLIENT_TIMEOUT);
    }
}

/// The program has to end now: its time is over, or somebody killed it. If nobody reads why, or takes a profile or core dump from a
/// FIFO, it ends all the same, with this code. What is written to files is waited for.
pub(super) fn exit_despite_blocked_output(code: u8) {
    // Where there is no thread for it, it ends when somebody reads.
    let _ = std::thread::Builder::new().name("end".into()).spawn(move || {
        while longest_blocked_write() < READER_TIMEOUT {
            std::thread::sleep(POLL_INTERVAL);
        }
        std::process::exit(code.into());
    });
}
