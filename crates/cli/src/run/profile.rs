//! `--profile`: a profile of the whole run, written when it ends for whatever reason.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::complain;
use crate::profile::{format_of, write};
use belljar::{Counted, Engine, OutsideText, ProfileFormat, Profiler};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The profile being recorded.
static RECORDING: Mutex<Option<Recording>> = Mutex::new(None);

struct Recording {
    profiler: Profiler,
    format: ProfileFormat,
    file: PathBuf,
}

/// Starts recording, with this many samples per second of CPU time.
///
/// # Errors
///
/// Returns an error if the file name does not determine a format, or if timers are not available.
pub(super) fn start(engine: &Engine, program: &Path, frequency: u32, file: &Path) -> Result<(), Failure> {
    let format = format_of(file)?;
    let title = program.file_name().unwrap_or_default().to_string_lossy();
    let profiler = Profiler::start(engine, &title, Duration::from_secs(1) / frequency);
    let profiler = profiler.map_err(|error| Failure::new(ExitCode::CannotStart, error))?;
    let recording = Recording { profiler, format, file: file.into() };
    *RECORDING.lock().unwrap_or_else(PoisonError::into_inner) = Some(recording);
    Ok(())
}

/// Writes the profile if one is being recorded. A failure does not change the program's exit code.
pub(super) fn finish() {
    let recording = RECORDING.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(Recording { profiler, format, file }) = recording else { return };
    let name = OutsideText::new(&file);
    let profile = match profiler.finish() {
        Ok(profile) => profile,
        Err(error) => return complain(&format!("note: no profile was written: {error:#}")),
    };
    if let Err(error) = write(&profile, format, &file) {
        complain(&format!("note: the profile could not be written to {name}: {error}"));
        return;
    }
    complain(&match profile.sample_count() {
        0 => format!("note: the guest used so little CPU time that its profile, {name}, is empty"),
        n => format!("note: the profile is in {name}: {}", Counted::of(n, "sample")),
    });
}
