//! Which thread tells how the program ended: the first whose end it is.

use super::profile;
use belljar::{Engine, Inspection};
use std::sync::{Mutex, PoisonError};

/// Held by the thread whose end is the program's, and never given back: others that end at the same time, or wait for the guest
/// to do so, have nothing to tell.
static END: Mutex<()> = Mutex::new(());

/// Whether other processes can look.
enum Sight {
    NotYet,
    Open(#[expect(dead_code, reason = "it ends when it is dropped")] Inspection),
    /// The program has ended.
    Over,
}

static SIGHT: Mutex<Sight> = Mutex::new(Sight::NotYet);

/// Lets other processes look, up to the end. That they cannot is no reason not to run.
pub(super) fn let_others_look(engine: &Engine) {
    let mut sight = SIGHT.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*sight, Sight::NotYet)
        && let Ok(inspection) = engine.serve_inspection()
    {
        *sight = Sight::Open(inspection);
    }
}

/// From here on this thread alone tells how the program ended. What was recorded of the run is written now, and nobody can look
/// any more.
pub(super) fn claim() {
    std::mem::forget(END.lock().unwrap_or_else(PoisonError::into_inner));
    profile::finish();
    *SIGHT.lock().unwrap_or_else(PoisonError::into_inner) = Sight::Over;
}
