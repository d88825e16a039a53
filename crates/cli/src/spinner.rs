//! A sign of life on the terminal while something takes longer than a second.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// Quiet for this long, so that what is quick stays silent.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs `work`, and shows `message` on standard error while it lasts longer than a second and that is a
/// terminal.
pub(crate) fn with_spinner<R>(message: impl FnOnce() -> String, work: impl FnOnce() -> R) -> R {
    let spinner = std::io::stderr().is_terminal().then(|| start(message()));
    let result = work();
    if let Some((done, thread)) = spinner {
        drop(done);
        let _ = thread.join();
    }
    result
}

/// A thread that shows the spinner until the sender is dropped.
fn start(message: String) -> (Sender<()>, JoinHandle<()>) {
    let (done, is_done) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        if is_done.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
        let bar = ProgressBar::new_spinner().with_elapsed(PATIENCE);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_message(message);
        bar.enable_steady_tick(Duration::from_millis(100));
        let _ = is_done.recv();
        bar.finish_and_clear();
    });
    (done, thread)
}
