//! Measures `belljar stack` and `belljar ps` on a process that runs a guest.

use super::line::{Line, Unit};
use super::probes::PYTHON;
use crate::bench::binary::{Binaries, Binary};
use crate::bench::directories::Directories;
use crate::bench::options::Options;
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(super) const NAME: &str = "belljar stack";

const RUNS: usize = 20;
const QUICK_RUNS: usize = 3;
/// Nanoseconds of the whole command.
const WANTED: f64 = 50e6;
/// How long a large program may take to compile.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// The time from its first instruction to its loop.
const START: Duration = Duration::from_secs(1);

const SCRIPT: &str = "\
def work(n):
    if n: return work(n - 1)
    while True: sum(range(1000))
work(20)";

/// A process that is ended on drop.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns wall times of whole commands, or why they cannot be measured here.
pub(super) fn measure(
    options: &Options,
    dirs: &Directories,
    binaries: &Binaries<'_>,
) -> Result<Result<Vec<Line>, String>> {
    let python = match dirs.shared(PYTHON) {
        Ok(python) => python,
        Err(reason) => return Ok(Err(reason)),
    };
    let program = binaries.path(Binary::Belljar)?;
    let directory = tempfile::tempdir()?;
    // A directory that others can enter would not be used, so belljar creates it itself.
    let sockets = directory.path().join("sockets");
    let mut run = command(&program, dirs, &sockets);
    run.arg("run").arg(&python).args(["-c", SCRIPT]).stdin(Stdio::null()).stdout(Stdio::null());
    let guest = Ended(run.spawn().context("the program does not start")?);
    let pid = guest.0.id().to_string();
    let start = Instant::now();
    while !told(&program, dirs, &sockets, &["stack", &pid]).is_ok_and(|text| text.contains(" 0: ")) {
        if start.elapsed() > START_TIMEOUT {
            bail!("the guest did not start within {} s", START_TIMEOUT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(START);
    let runs = options.rounds.unwrap_or(if options.quick { QUICK_RUNS } else { RUNS }).max(1);
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..runs {
        for (words, took) in [&["stack", &pid][..], &["ps"]].iter().zip(&mut took) {
            let start = Instant::now();
            told(&program, dirs, &sockets, words)?;
            took.push(start.elapsed().as_nanos() as f64);
        }
    }
    let names = ["belljar stack PID, CPython: the whole command", "belljar ps: the whole command"];
    let lines = names.iter().zip(&took).filter_map(|(name, took)| Line::new(*name, Unit::Nanoseconds, took));
    Ok(Ok(lines.map(|line| line.wanted(WANTED)).collect()))
}

fn command(program: &Path, dirs: &Directories, sockets: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("BELLJAR_RUNTIME_DIR", sockets).env("BELLJAR_CACHE", dirs.out.join("watch").join("cli"));
    command
}

/// Returns a command's output.
fn told(program: &Path, dirs: &Directories, sockets: &Path, words: &[&str]) -> Result<String> {
    let output = command(program, dirs, sockets).args(words).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
