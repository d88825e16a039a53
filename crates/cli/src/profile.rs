//! `belljar profile`: records where the guests of a process spend their time.

use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::output::complain;
use crate::output_file::{self, Readers, cannot_write, check};
use crate::processes::{failure, process_id};
use crate::progress::{Meter, with_progress};
use crate::time_span::TimeSpan;
use belljar::error::Context;
use belljar::{Counted, OutsideText, Profile, ProfileFormat, Result};
use belljar_inspect::{Process, ProfileRequest};
use clap::Args;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  belljar profile 4711 -o flame.svg                ten seconds; `belljar ps` lists the processes
  belljar profile 4711 -d 1m -o profile.json       a minute
  belljar profile 4711 --frequency 100 -o profile.json
  belljar profile 4711 --interval 5ms -o profile.json

The guests keep running: each is interrupted at every sample while its stack is walked. The name of OUT determines \
the format: .svg (flame graph), .json (Firefox Profiler), .pb.gz (pprof), .txt (collapsed stacks). A note says how \
many samples were taken.

Exit codes: 0, or 66 if there is no such process, or if it cannot be inspected, 74 if OUT cannot be written.";

/// The default sampling rate, in samples per second.
const FREQUENCY: u32 = 1000;

/// The highest sampling rate: no system wakes up more often.
const HIGHEST_FREQUENCY: i64 = 100_000;

/// Record where the guests of a running program spend their time.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ProfileOptions {
    /// The process id, as `belljar ps` lists it
    #[arg(value_parser = process_id)]
    pid: u32,

    /// Record for this time: 500ms, 10s, 2m
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = some_time)]
    duration: TimeSpan,

    /// Take HZ samples a second [default: 1000]
    ///
    /// Each sample interrupts every running guest while its stack is walked, so use a lower rate where
    /// that matters.
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(1..=HIGHEST_FREQUENCY))]
    frequency: Option<u32>,

    /// Take a sample every TIME, 1ms or 250ms, instead of giving a rate
    #[arg(long, value_name = "TIME", value_parser = some_time, conflicts_with = "frequency")]
    interval: Option<TimeSpan>,

    /// The file to write; its name determines the format
    ///
    /// .svg is a flame graph, .json for the Firefox Profiler, .pb.gz for pprof, .txt collapsed stacks.
    /// If the program has several engines, each gets a file of its own: OUT, OUT-2, ...
    #[arg(short, long, value_name = "OUT", value_hint = clap::ValueHint::FilePath)]
    output: PathBuf,
}

/// Parses a duration other than zero.
fn some_time(text: &str) -> Result<TimeSpan, String> {
    match text.parse()? {
        TimeSpan(Duration::ZERO) => {
            Err(format!("expected a time that is not zero, found `{}`", OutsideText::new(text)))
        }
        time => Ok(time),
    }
}

impl ProfileOptions {
    /// Requests a recording of the process and writes it. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Returns an error if the process cannot be reached, or if the file cannot be written.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let format = format_of(&self.output)?;
        check(&self.output)
            .with_context(|| cannot_write(&self.output))
            .with_exit_code(ExitCode::Unwritable)?;
        let process = Process::find(self.pid).map_err(|error| failure(&error))?;
        let wanted = ProfileRequest::new(self.duration.0, self.interval());
        let message = || format!("recording process {} for {}", self.pid, self.duration);
        let profiles = with_progress(message, &Meter::default(), || process.profiles(&wanted));
        let profiles = profiles.map_err(|error| failure(&error))?;
        for (i, profile) in profiles.iter().enumerate() {
            let path = numbered(&self.output, i + 1);
            // Another version of belljar may have recorded it.
            let profile: Profile = serde_json::from_slice(profile).with_exit_code(ExitCode::Unreadable)?;
            write(&profile, format, &path)
                .with_context(|| cannot_write(&path))
                .with_exit_code(ExitCode::Unwritable)?;
            let whose = match i {
                0 => format!("process {}", self.pid),
                _ => "another engine of it".into(),
            };
            complain(&format!("note: {}", result(&profile, &whose, self.duration, &path)));
        }
        Ok(ExitCode::Success as u8)
    }

    fn interval(&self) -> Duration {
        match (self.interval, self.frequency.unwrap_or(FREQUENCY)) {
            (Some(TimeSpan(time)), _) => time,
            (None, hertz) => Duration::from_secs(1) / hertz,
        }
    }
}

/// Says where the profile is and what is in it.
fn result(profile: &Profile, whose: &str, time: TimeSpan, path: &Path) -> String {
    let path = OutsideText::new(path);
    match profile.sample_count() {
        0 => format!("no guest of {whose} used CPU time within {time}, so its profile, {path}, is empty"),
        n => format!("the profile of {whose} is in {path}: {} in {time}", Counted::of(n, "sample")),
    }
}

/// Returns the name of one of several files: `out.json`, `out-2.json`, …
fn numbered(path: &Path, number: usize) -> PathBuf {
    let Some(stem) = path.file_stem().filter(|_| number > 1) else { return path.into() };
    let mut name = stem.to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Returns the format of a file name.
///
/// # Errors
///
/// Returns an error that lists the supported names.
pub(crate) fn format_of(path: &Path) -> Result<ProfileFormat, Failure> {
    let format = ProfileFormat::of_path(path).map_err(Failure::usage)?;
    format.ensure_supported().map_err(Failure::usage)?;
    Ok(format)
}

/// Writes a profile to a file.
///
/// # Errors
///
/// Returns an error if the file cannot be written.
pub(crate) fn write(profile: &Profile, format: ProfileFormat, path: &Path) -> io::Result<()> {
    output_file::write(path, Readers::Usual, |mut out| profile.write_to(format, &mut out)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_several_engines_are_numbered() {
        let name = |path: &str, number| numbered(Path::new(path), number).display().to_string();
        assert_eq!(name("a/out.json", 1), "a/out.json");
        assert_eq!(name("a/out.json", 2), "a/out-2.json");
        assert_eq!(name("out", 3), "out-3");
        assert_eq!(name("out.json.gz", 2), "out.json-2.gz");
    }
}
