//! The trial of one module: validated, compiled by both in turn, and run.

use super::modules::Shipped;
use super::outline::Outline;
use super::usage::{Ended, Usage, measure};
use crate::bench::statistics::{Estimate, median};
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The programs that are compared.
pub(super) struct Programs {
    pub(super) belljar: PathBuf,
    pub(super) wasmtime: PathBuf,
}

/// Limits on the time of a trial.
#[derive(Clone, Copy)]
pub(super) struct TimeLimits {
    pub(super) rounds: usize,
    /// For one compilation.
    pub(super) compilation: Duration,
}

/// After this time a module's rounds end early, but not before the first.
const LONG_ENOUGH: Duration = Duration::from_secs(120);
/// For one run.
const RUN: Duration = Duration::from_secs(60);

/// Options that Wasmtime needs to accept what belljar accepts.
const FEATURES: [&str; 5] = ["exceptions", "gc", "function-references", "memory64", "shared-memory"];

/// The results for a module.
pub(super) struct Trial {
    /// The error of `belljar validate`, if it refuses the module.
    pub(super) refusal: Option<String>,
    /// Its entry and imports, unless it is refused or has features unknown to `belljar inspect`.
    pub(super) outline: Option<Outline>,
    /// Compilations by belljar and Wasmtime.
    pub(super) compiled: Option<Comparison>,
    /// Why one of them has none.
    pub(super) problems: Vec<String>,
    /// The result of the run.
    pub(super) run: Option<String>,
}

/// What two compilers used, as medians of all rounds; and the ratios, as medians of the rounds' ratios.
pub(super) struct Comparison {
    pub(super) ours: Usage,
    pub(super) theirs: Option<Usage>,
    pub(super) cpu: Option<f64>,
    pub(super) peak: Option<f64>,
}

/// Tries a module.
pub(super) fn run(module: &Shipped, file: &Path, programs: &Programs, limits: TimeLimits) -> Result<Trial> {
    let directory = tempfile::tempdir()?;
    let dirs = directory.path();
    let mut trial = Trial { refusal: None, outline: None, compiled: None, problems: Vec::new(), run: None };
    let validated = measure(&programs.belljar, &["validate".into(), path(file)], dirs, limits.compilation)?;
    if !validated.output.status.success() {
        trial.refusal = Some(first_line(&validated.output.stderr).replace(&path(file), module.file));
        return Ok(trial);
    }
    trial.outline = Outline::of(&programs.belljar, file, dirs).ok();
    let own = dirs.join("module.elf");
    let other = dirs.join("module.cwasm");
    trial.compile(file, [&own, &other], programs, limits, dirs)?;
    if own.is_file() {
        let told = run_both(module, [&own, &other], programs, dirs)?;
        trial.run = Some(told.replace(&path(&own), module.name).replace(&path(&other), module.name));
    }
    Ok(trial)
}

impl Trial {
    /// Compiles in turn: A B A B ….
    fn compile(
        &mut self,
        file: &Path,
        outputs: [&Path; 2],
        programs: &Programs,
        limits: TimeLimits,
        dirs: &Path,
    ) -> Result<()> {
        let ours = vec!["compile".into(), "-o".into(), path(outputs[0]), path(file)];
        let mut theirs = vec!["compile".into(), "-o".into(), path(outputs[1])];
        theirs.extend(features());
        theirs.push(path(file));
        let contenders = [("belljar", &programs.belljar, ours), ("Wasmtime", &programs.wasmtime, theirs)];
        let mut samples: [Vec<Usage>; 2] = Default::default();
        let start = Instant::now();
        for _ in 0..limits.rounds {
            for (i, (name, program, words)) in contenders.iter().enumerate() {
                let ended = measure(program, words, dirs, limits.compilation)?;
                match problem(&ended) {
                    None => samples[i].push(ended.usage),
                    Some(problem) => self.problems.push(format!("{name}: {problem}")),
                }
            }
            if !self.problems.is_empty() || start.elapsed() > LONG_ENOUGH {
                break;
            }
        }
        let [ours, theirs] = samples;
        if let Some(own) = middle(&ours) {
            let (cpu, peak) = (ratio_of(&ours, &theirs, |u| u.cpu), ratio_of(&ours, &theirs, |u| u.peak));
            self.compiled = Some(Comparison { ours: own, theirs: middle(&theirs), cpu, peak });
        }
        Ok(())
    }
}

fn middle(samples: &[Usage]) -> Option<Usage> {
    let of = |f: fn(&Usage) -> f64| median(&samples.iter().map(f).collect::<Vec<_>>());
    Some(Usage { cpu: of(|u| u.cpu)?, peak: of(|u| u.peak)? })
}

fn ratio_of(ours: &[Usage], theirs: &[Usage], f: fn(&Usage) -> f64) -> Option<f64> {
    let figures = |samples: &[Usage]| samples.iter().map(f).collect::<Vec<_>>();
    Estimate::Median.ratio(&figures(ours), &figures(theirs))
}

fn features() -> impl Iterator<Item = String> {
    FEATURES.iter().flat_map(|feature| ["-W".into(), format!("{feature}=y")])
}

/// Returns why a compilation did not succeed.
fn problem(ended: &Ended) -> Option<String> {
    if ended.is_late {
        return Some("took too long".into());
    }
    (!ended.output.status.success()).then(|| cause(&String::from_utf8_lossy(&ended.output.stderr)))
}

/// Returns the last of the causes that Wasmtime lists below an error, or the error.
fn cause(errors: &str) -> String {
    let before = errors.split("Stack backtrace:").next().unwrap_or_default();
    let last = before.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    first_line(last.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches(": ").as_bytes())
}

/// Runs what both have compiled, and returns the result: what is missing, or whether both printed the same.
fn run_both(module: &Shipped, [own, other]: [&Path; 2], programs: &Programs, dirs: &Path) -> Result<String> {
    let args = || module.args.iter().map(|arg| (*arg).to_owned());
    let words =
        ["run".into(), "--timeout".into(), "60s".into(), "--argv0".into(), module.name.into(), path(own)];
    let ours =
        measure(&programs.belljar, &words.into_iter().chain(args()).collect::<Vec<_>>(), dirs, 2 * RUN)?;
    let code = ours.output.status.code().unwrap_or(-1);
    if !other.is_file() || code == CANNOT_START {
        return Ok(describe(&ours));
    }
    let mut words = vec!["run".into(), "--allow-precompiled".into(), "--argv0".into(), module.name.into()];
    words.extend(features());
    words.push(path(other));
    words.extend(args());
    let theirs = measure(&programs.wasmtime, &words, dirs, RUN)?;
    let is_same = ours.output.stdout == theirs.output.stdout && ours.output.status == theirs.output.status;
    let verdict = match is_same {
        true => "as with Wasmtime".to_owned(),
        false => format!("Wasmtime: {}", describe(&theirs)),
    };
    Ok(format!("{}; {verdict}", describe(&ours)))
}

/// belljar's exit code for a module that cannot be started.
const CANNOT_START: i32 = 69;

/// Returns how a run ended and its first output; for a module that cannot be started, what is missing and the hint.
fn describe(ended: &Ended) -> String {
    if ended.is_late {
        return "took too long".into();
    }
    let code = ended.output.status.code().unwrap_or(-1);
    let errors = String::from_utf8_lossy(&ended.output.stderr);
    if code == CANNOT_START {
        let hint = errors.lines().find(|line| line.starts_with("Hint:")).unwrap_or_default();
        let told = first_line(&ended.output.stderr);
        // The list of callable exports follows.
        let told = told.split(" Call one of these functions").next().unwrap_or_default();
        return format!("{told} {hint}").trim_end().into();
    }
    match ended.output.stdout.is_empty() {
        false => format!("exit {code}, prints {:?}", first_line(&ended.output.stdout)),
        true if errors.is_empty() => format!("exit {code}, prints nothing"),
        true => format!("exit {code}, complains {:?}", first_line(&ended.output.stderr)),
    }
}

/// Returns the first informative line, cut.
fn first_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    match line.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.into(),
    }
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Returns Wasmtime's name and version.
pub(super) fn version(program: &Path) -> Result<String> {
    let ended = measure(program, &["--version".into()], Path::new("."), RUN)?;
    ensure!(ended.output.status.success(), "{} does not start", program.display());
    Ok(first_line(&ended.output.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_an_error_is_told() {
        let long = "Error: failed to compile\n\nCaused by:\n    0: translation error\n    1: no such feature\n\n\
                    Stack backtrace:\n   0: capture\n";
        assert_eq!(cause(long), "no such feature");
        assert_eq!(cause("Error: failed\n\nCaused by:\n    not a module\n"), "not a module");
        assert_eq!(cause("error: one line\n"), "error: one line");
        assert_eq!(cause(""), "");
    }

    #[test]
    fn lines_are_cut() {
        assert_eq!(first_line(b"\n  one \ntwo"), "one");
        assert_eq!(first_line("é".repeat(500).as_bytes()).chars().count(), 201);
    }
}
