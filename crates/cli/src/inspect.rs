//! `belljar inspect`: a module's file in, what is in it out. Never: running or validating it.

mod custom;
mod description;
mod entities;
mod features;
mod layout;
pub(crate) mod reader;
mod text;

use crate::exit_code::ExitCode;
use crate::failure::{Failure, OrFail};
use crate::module_file::ModuleFile;
use crate::output::print;
use clap::Args;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  belljar inspect tool.wasm
  belljar inspect tool.wasm --json | jq '.imports[].name'

A file that is broken, or that uses features which belljar does not have, is described as far as it can be
read; the first problem is named. Exit codes: 0, or 65 if there was a problem, 66 if the file cannot be read.";

/// Show what is in a module: sections, imports, exports, memory layout, features, producers.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InspectOptions {
    /// The module, in binary (.wasm) or text format (.wat)
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl InspectOptions {
    /// Describes the file. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or its text not be parsed.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let file = ModuleFile::read(&self.file)?.into_binary()?;
        let mut description = reader::describe(file.bytes());
        description.file = self.file.display().to_string();
        let text = match self.json {
            true => serde_json::to_string_pretty(&description).or_fail(ExitCode::Bug)? + "\n",
            false => text::Text(&description).to_string(),
        };
        print(&text)?;
        Ok(match description.error {
            None => ExitCode::Success as u8,
            Some(_) => ExitCode::BadModule as u8,
        })
    }
}
