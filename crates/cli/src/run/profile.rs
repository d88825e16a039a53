//! `--profile`: a profile of the whole run, written when it ends, however it does.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::complain;
use anyhow::{Context, Result};
use belljar::{Engine, Profile, ProfileFormat, Profiler};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The profile that is being recorded, and the file that it goes to.
static RECORDING: Mutex<Option<(Profiler, PathBuf)>> = Mutex::new(None);

/// CPU time between two samples.
const INTERVAL: Duration = Duration::from_millis(1);

/// Refuses a file name that says nothing of a format, before the guest runs for an hour.
///
/// # Errors
///
/// Which names there are.
pub(super) fn check(file: &Path) -> Result<(), Failure> {
    let format = ProfileFormat::of_path(file).map_err(Failure::usage)?;
    format.ensure_supported().map_err(Failure::usage)
}

/// Starts to record.
///
/// # Errors
///
/// Where the machine gives no timers.
pub(super) fn start(engine: &Engine, program: &Path, file: &Path) -> Result<(), Failure> {
    let title = program.file_name().unwrap_or_default().to_string_lossy();
    let profiler = Profiler::start(engine, &title, INTERVAL);
    let profiler = profiler.map_err(|error| Failure::new(ExitCode::CannotStart, error))?;
    *RECORDING.lock().unwrap_or_else(PoisonError::into_inner) = Some((profiler, file.to_path_buf()));
    Ok(())
}

/// Writes the profile, if one was being recorded. That it cannot be written does not change how the program ends.
pub(super) fn finish() {
    let recording = RECORDING.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((profiler, file)) = recording else { return };
    match profiler.finish().and_then(|profile| write(&profile, &file).map(|()| profile)) {
        Ok(profile) if profile.sample_count() == 0 => {
            complain(&format!(
                "note: the guest used too little time for a profile: {} is empty",
                file.display()
            ));
        }
        Ok(_) => {}
        Err(error) => complain(&format!("note: no profile was written: {error:#}")),
    }
}

/// Writes a profile in the format that the file's name tells.
///
/// # Errors
///
/// Where the name tells none, or the file cannot be written.
pub(crate) fn write(profile: &Profile, file: &Path) -> Result<()> {
    let format = ProfileFormat::of_path(file)?;
    let could_not = || format!("could not write {}", file.display());
    let mut out = File::create(file).with_context(could_not)?;
    profile.write_to(format, &mut out).with_context(could_not)
}
