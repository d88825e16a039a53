//! Services of a run that start after it: inspection by other processes, and Ctrl-C.

use super::{end, stop};
use belljar::Engine;
use std::time::Duration;

/// The delay before they start. A program that ends earlier saves the cost, and ends before a person could use them.
const DELAY: Duration = Duration::from_millis(20);

/// Starts the services after a delay. If no thread can be started, the program runs without them.
pub(super) fn start_background_services(engine: &Engine) {
    let engine = engine.clone();
    let _ = std::thread::Builder::new().name("outside".into()).spawn(move || {
        std::thread::sleep(DELAY);
        stop::kill_on_interrupt(&engine);
        end::serve_inspection(&engine);
    });
}
