//! What a program uses: processor time and memory, as the kernel counts them.
//!
//! The kernel adds up what children used that were waited for. So each program is a child of a process of its own, which runs nothing
//! else: this chore itself, called with [`CHORE`].

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The chore that runs a program and tells what it used.
pub(crate) const CHORE: &str = "usage-of";

/// The last line that the chore prints on standard error begins with this.
const MARK: &str = "usage-of: ";

/// What a program has used.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(super) struct Usage {
    /// Processor time of all threads, in nanoseconds.
    pub(super) cpu: f64,
    /// The most memory that it had, in bytes. Less than 6 MB cannot be told apart, as the kernel counts what the process had before
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

/// Runs a program to its end, or for so long. Its standard input is empty.
pub(super) fn measure(program: &Path, words: &[String], directory: &Path, limit: Duration) -> Result<Ended> {
    let own = std::env::current_exe().context("this program has no file")?;
    let mut command = Command::new(own);
    command.arg(CHORE).arg(limit.as_millis().to_string()).arg(program).args(words);
    command.current_dir(directory).stdin(Stdio::null());
    command.env("BELLJAR_CACHE", "off").env_remove("RUST_BACKTRACE");
    let mut output = command.output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let (errors, told) = text.rsplit_once(MARK).context("no usage was told")?;
    let (is_late, usage) = serde_json::from_str(told).context("the usage cannot be read")?;
    output.stderr = errors.into();
    Ok(Ended { usage, output, is_late })
}

/// The chore itself: `MILLISECONDS PROGRAM WORDS…`.
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
