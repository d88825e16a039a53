//! What reaches a run from outside: other processes look at it, Ctrl-C stops it.

use super::{end, stop};
use belljar::Engine;
use std::time::Duration;

/// How long a program runs before that. One that has ended by then does not pay for it, and no person has noticed it.
const DELAY: Duration = Duration::from_millis(20);

/// Lets it in, a moment from now. Where there is no thread for it, the program runs all the same.
pub(super) fn start_background_services(engine: &Engine) {
    let engine = engine.clone();
    let _ = std::thread::Builder::new().name("outside".into()).spawn(move || {
        std::thread::sleep(DELAY);
        stop::kill_on_interrupt(&engine);
        end::serve_inspection(&engine);
    });
}
