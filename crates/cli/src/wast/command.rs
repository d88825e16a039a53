//! `belljar wast`: runs scripts, and prints failed directives and totals.

use super::files::{find_scripts, read_script};
use super::report::Report;
use super::script::run_script;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::output::print;
use crate::proposals::Proposals;
use belljar::{Config, Engine, OutsideText};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  belljar wast spec/test/core/i32.wast
  belljar wast spec/test/core              all scripts in the directory and its subdirectories
  belljar wast --quiet spec/test/core      only the last line

Each script has its own store, and can import the module `spectest`. A failed directive is \
printed as file:line: message.

Exit codes: 0 if all passed, 1 if one failed, 66 if a file cannot be read.";

/// Run scripts of the specification's test suite.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WastOptions {
    /// Scripts, or directories of scripts
    #[arg(required = true, value_hint = clap::ValueHint::AnyPath)]
    paths: Vec<PathBuf>,

    /// Print only the numbers of passed and failed directives
    #[arg(short, long)]
    quiet: bool,

    /// Collect garbage at every allocation, to find missing roots early; very slow
    #[arg(long)]
    gc_stress: bool,

    #[command(flatten)]
    proposals: Proposals,
}

impl WastOptions {
    /// Runs the scripts. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be read, or if standard output cannot be written.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let mut scripts = Vec::new();
        for path in &self.paths {
            scripts.extend(find_scripts(path).with_exit_code(ExitCode::Unreadable)?);
        }
        let mut config = Config::new();
        self.proposals.apply(&mut config);
        config.gc_stress(self.gc_stress);
        config.wasm_component_model_fixed_length_lists(true);
        config.wasm_component_model_error_context(true).wasm_component_model_memory64(true);
        let engine = Engine::new(&config).with_exit_code(ExitCode::CannotStart)?;
        let bar = progress_bar(scripts.len());
        let mut total = Report::default();
        for script in &scripts {
            bar.set_message(OutsideText::new(script).to_string());
            let text = read_script(script).with_exit_code(ExitCode::Unreadable)?;
            let report = run_script(&engine, script, &text);
            if !self.quiet {
                let lines: String = report.failures.iter().map(|f| format!("{f}\n")).collect();
                bar.suspend(|| print(&lines))?;
            }
            total.merge(report);
            bar.inc(1);
        }
        bar.finish_and_clear();
        print(&format!("{total}\n"))?;
        Ok(if total.failed == 0 { ExitCode::Success } else { ExitCode::ScriptFailed } as u8)
    }
}

/// Creates a progress bar, which is hidden if standard error is not a terminal.
fn progress_bar(scripts: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}");
    let bar = ProgressBar::new(scripts as u64);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
