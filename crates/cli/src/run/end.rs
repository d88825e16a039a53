//! Which thread tells how the program ended: the first whose end it is.

use super::profile;
use std::sync::{Mutex, PoisonError};

/// Held by the thread whose end is the program's, and never given back: others that end at the same time, or wait for the guest
/// to do so, have nothing to tell.
static END: Mutex<()> = Mutex::new(());

/// From here on this thread alone tells how the program ended. What was recorded of the run is written now.
pub(super) fn claim() {
    std::mem::forget(END.lock().unwrap_or_else(PoisonError::into_inner));
    profile::finish();
}
