//! Measures what a program uses: processor time and memory, as the kernel counts them.
//!
//! The kernel sums up what waited-for children used. So each program is a child of a separate process that runs nothing
//! else: this program itself, called with [`SUBCOMMAND`].

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The subcommand that runs a program and reports what it used.
pub(crate) const SUBCOMMAND: &str = "usage-of";

/// The last line of this subcommand on standard error begins with this.
const MARK: &str = "usage-of: ";

/// The resources that a program used.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(super) struct Usage {
    /// Processor time of all threads, in nanoseconds.
    pub(super) cpu: f64,
    /// Peak memory in bytes. Values below 6 MB cannot be distinguished, because the kernel counts what the process had before
    /// the program began.
    pub(super) peak: f64,
}

/// How a program ended.
pub(super) struct Ended {
    pub(super) usage: Usage,
    pub(super) output: Output,
    /// Whether it was ended because it took too long.
    pub(super) is_late: bool,
}

/// Runs a program to its end, or to the time limit. Its standard input is empty.
pub(super) fn measure(program: &Path, words: &[String], directory: &Path, limit: Duration) -> Result<Ended> {
    let own = std::env::current_exe().context("the path of this program is unknown")?;
    let mut command = Command::new(own);
    command.arg(SUBCOMMAND).arg(limit.as_millis().to_string()).arg(program).args(words);
    command.current_dir(directory).stdin(Stdio::null());
    command.env("BELLJAR_CACHE", "off").env_remove("RUST_BACKTRACE");
    let mut output = command.output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let (errors, told) = text.rsplit_once(MARK).context("the program reported no usage")?;
    let (is_late, usage) = serde_json::from_str(told).context("the usage cannot be read")?;
    output.stderr = errors.into();
    Ok(Ended { usage, output, is_late })
}

/// Runs this subcommand: `MILLISECONDS PROGRAM WORDS…`.
pub(crate) fn tell(words: &[String]) -> Result<i32> {
    let [limit, program, words @ ..] = words else { anyhow::bail!("MILLISECONDS PROGRAM WORDS…") };
    let limit = Duration::from_millis(limit.parse()?);
    let start = Instant::now();
    let mut child = Command::new(program).args(words).spawn().with_context(|| program.clone())?;
    let mut is_late = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > limit && !is_late {
            is_late = true;
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let cpu = (seconds(usage.user_time()) + seconds(usage.system_time())) * 1e9;
    let told = (is_late, Usage { cpu, peak: usage.max_rss() as f64 * 1024.0 });
    eprint!("{MARK}{}", serde_json::to_string(&told)?);
    Ok(status.code().unwrap_or(128))
}
