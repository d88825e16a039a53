//! One run of one contender.

use super::item::{Attempt, FigureSource, Item};
use anyhow::{Context, Result, ensure};
use bench_runner::Figure;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The result of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Nanoseconds; infinite if the process was ended because it took too long.
    pub(crate) time: f64,
    /// Peak memory in bytes, if it is measured.
    pub(crate) peak: Option<f64>,
}

/// Runs an attempt in an empty directory.
pub(crate) fn run(item: &Item, attempt: &Attempt, program: &Path, quick: bool) -> Result<Sample> {
    let Some((output, wall)) = output(item, attempt, program, quick)? else {
        return Ok(Sample { time: f64::INFINITY, peak: None });
    };
    let peak = item.size.and_then(|_| Figure::Peak.read(&String::from_utf8_lossy(&output.stdout)));
    Ok(Sample { time: read(&item.source, &output, wall)?, peak })
}

/// Runs an attempt in an empty directory. Returns its output and how long it takes, or nothing if it takes too long.
pub(crate) fn output(
    item: &Item,
    attempt: &Attempt,
    program: &Path,
    quick: bool,
) -> Result<Option<(Output, Duration)>> {
    let directory = tempfile::tempdir()?;
    std::fs::create_dir(directory.path().join(SCRATCH))?;
    let input = directory.path().join("stdin");
    std::fs::write(&input, &item.stdin)?;
    let mut command = Command::new(program);
    command.envs(attempt.env.iter().map(|(name, value)| (name, value)));
    command.args(&attempt.words).current_dir(directory.path()).stdin(File::open(&input)?);
    // Backtraces of the host are for its bugs, and expensive if a guest's exit is an error.
    command.env("BENCH_TIMES", "1").env("RUST_BACKTRACE", "0");
    if quick {
        command.env("BENCH_QUICK", "1");
    }
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| program.display().to_string())?;
    if let Some(limit) = item.limit
        && !ends_within(&mut child, limit)?
    {
        return Ok(None);
    }
    let output = child.wait_with_output()?;
    let wall = start.elapsed();
    check(item, &output)?;
    Ok(Some((output, wall)))
}

/// Runs the preparation of an attempt.
pub(crate) fn prepare(attempt: &Attempt, program: &Path) -> Result<()> {
    let Some(words) = &attempt.prepare else { return Ok(()) };
    let directory = tempfile::tempdir()?;
    let mut command = Command::new(program);
    command.envs(attempt.env.iter().map(|(name, value)| (name, value)));
    let output = command.args(words).current_dir(directory.path()).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}: {}", output.status, end_of(&output.stderr));
    Ok(())
}

/// Waits for a process that prints little; ends it if it takes too long.
fn ends_within(child: &mut Child, limit: Duration) -> Result<bool> {
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// The directory that items use for files: new and empty for each run.
pub(crate) const SCRATCH: &str = "scratch";

fn check(item: &Item, output: &Output) -> Result<()> {
    let expected = &item.expected;
    ensure!(
        output.status.code() == Some(expected.exit),
        "{}, expected {}: {}",
        output.status,
        expected.exit,
        end_of(&output.stderr)
    );
    if let Some(stdout) = &expected.stdout {
        ensure!(
            output.stdout == *stdout,
            "it printed {:?}, expected {:?}",
            end_of(&output.stdout),
            end_of(stdout)
        );
    }
    Ok(())
}

/// Returns the last part of some output, for a message.
fn end_of(output: &[u8]) -> String {
    let start = output.len().saturating_sub(300);
    String::from_utf8_lossy(&output[start..]).trim().to_string()
}

fn read(source: &FigureSource, output: &Output, wall: Duration) -> Result<f64> {
    let text = [&output.stdout[..], b"\n", &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    match source {
        FigureSource::Wall => Ok(wall.as_nanos() as f64),
        FigureSource::Figure(figure) => figure.read(&text).with_context(|| format!("no line `{figure}: …`")),
        FigureSource::Kernel(kernel) => kernel_time(kernel, &text).context("the kernel printed no time"),
    }
}

fn kernel_time(kernel: &str, text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(kernel)?.strip_suffix(" ns")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_says_its_time() {
        assert_eq!(kernel_time("fib", "fib 00e3d1b0\nfib 4875 ns\nrun-ns: 3"), Some(4875.0));
        assert_eq!(kernel_time("fi", "fib 4875 ns"), None);
    }
}
