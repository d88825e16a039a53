//! `--timeout`: ends the guest when its time is over, wherever it is then.

use super::end;
use crate::exit_code::ExitCode;
use crate::output::complain;
use crate::time_span::TimeSpan;
use anyhow::{Context, Result};
use belljar::Engine;
use std::time::Duration;

/// How long a guest that runs code of its own may take to notice. One that has not ended by then is waiting in
/// a host function, which no epoch reaches.
const GRACE: Duration = Duration::from_millis(200);

/// What is told when the time is over.
pub(super) fn message(time: TimeSpan) -> String {
    format!("the guest was stopped: the {time} of --timeout are over")
}

/// Starts the clock.
///
/// # Errors
///
/// Where no thread can be started.
pub(super) fn start(engine: &Engine, time: TimeSpan) -> Result<()> {
    let engine = engine.clone();
    let watch = move || {
        std::thread::sleep(time.0);
        engine.increment_epoch();
        std::thread::sleep(GRACE);
        end::claim();
        complain(&format!("error: {}, while it waited for the host", message(time)));
        std::process::exit(ExitCode::Timeout as i32);
    };
    let started = std::thread::Builder::new().name("deadline".into()).spawn(watch);
    started.context("could not start the thread that watches --timeout")?;
    Ok(())
}
