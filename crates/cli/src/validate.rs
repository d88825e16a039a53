//! `belljar validate`: checks whether the engine accepts files as modules.

use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::module_file::ModuleFile;
use crate::output::{complain, print};
use crate::proposals::Proposals;
use belljar::{Config, Engine, OutsideText, StartProblem};
use clap::Args;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  belljar validate tool.wasm
  belljar validate --quiet build/*.wasm && echo all valid

Exit codes: 0 if all are valid, 65 if one is not, 66 if one cannot be read.";

/// Check that files are valid modules, without compiling them
///
/// Also warns if a valid module can never be started, because of a table of more than 10,000,000
/// elements or a segment that does not fit.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ValidateOptions {
    /// The modules, in binary (.wasm) or text format (.wat)
    #[arg(required = true, value_hint = clap::ValueHint::FilePath)]
    files: Vec<PathBuf>,

    /// Print nothing about valid files
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    proposals: Proposals,
}

impl ValidateOptions {
    /// Checks every file. Returns the highest-priority exit code.
    ///
    /// # Errors
    ///
    /// Returns an error if standard output cannot be written.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let mut config = Config::new();
        self.proposals.apply(&mut config);
        let engine = Engine::new(&config).with_exit_code(ExitCode::CannotStart)?;
        let mut code = ExitCode::Success as u8;
        for file in &self.files {
            match check(&engine, file) {
                Ok(_) if self.quiet => {}
                Ok((module, problems)) => {
                    print(&format!("{}: valid\n", OutsideText::new(file)))?;
                    module.report_start_problems(&problems);
                }
                Err(failure) => {
                    complain(&format!("error: {failure}"));
                    code = code.max(failure.code as u8);
                }
            }
        }
        Ok(code)
    }
}

fn check(engine: &Engine, path: &Path) -> Result<(ModuleFile, Vec<StartProblem>), Failure> {
    let module = ModuleFile::read(path)?.into_binary()?;
    let problems = module.validate(engine)?;
    Ok((module, problems))
}
