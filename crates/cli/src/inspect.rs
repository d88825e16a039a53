//! `belljar inspect`: describes a module's file without running or validating it.

mod artifact;
mod text;

use crate::binary::description::Kind;
use crate::binary::reader;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::module_file::ModuleFile;
use crate::output::{print, print_json};
use crate::wit::Wit;
use artifact::ArtifactDescription;
use belljar::{ArtifactInfo, Config, Engine};
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  belljar inspect tool.wasm
  belljar inspect tool.elf               an artifact of `belljar compile`
  belljar inspect tool.wasm --json | jq '.imports[].name'

A file that is broken, or uses features that belljar does not support, is described as far as it can be \
read, with the first problem.

Exit codes: 0, or 65 if there was a problem, 66 if the file cannot be read.";

/// Show the contents of a module: sections, imports, exports, memory layout, features.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InspectOptions {
    /// The module, in binary (.wasm) or text format (.wat), or an artifact
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,

    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl InspectOptions {
    /// Describes the file. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, or if its text cannot be parsed.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let file = ModuleFile::read(&self.file)?.into_binary()?;
        if let Some(artifact) = file.artifact() {
            let info = ArtifactInfo::read(artifact).map_err(|error| file.refuse_artifact(error))?;
            return self.describe_artifact(&info);
        }
        let mut description = reader::describe(file.bytes());
        if description.kind == Kind::Component && description.error.is_none() {
            description.wit = Wit::read(file.bytes()).and_then(|wit| wit.text()).ok();
        }
        if description.error.is_some() {
            let refused = file.validate(&Engine::new(&Config::new()).with_exit_code(ExitCode::CannotStart)?);
            match refused {
                // The same message as in the other subcommands.
                Err(failure) if description.kind == Kind::Unknown => return Err(failure),
                Err(failure) => description.add_unsupported(failure.error.downcast_ref()),
                Ok(_) => {}
            }
        }
        description.file = self.file.to_string_lossy().into_owned();
        self.print(&description, &text::Text(&description))?;
        Ok(match description.error {
            None => ExitCode::Success as u8,
            Some(_) => ExitCode::BadModule as u8,
        })
    }

    fn describe_artifact(&self, info: &ArtifactInfo) -> Result<u8, Failure> {
        let description = ArtifactDescription::of(self.file.to_string_lossy().into_owned(), info);
        self.print(&description, &description)?;
        Ok(if description.is_whole() { ExitCode::Success } else { ExitCode::BadModule } as u8)
    }

    fn print(&self, description: &impl Serialize, text: &impl fmt::Display) -> Result<(), Failure> {
        match self.json {
            true => print_json(description),
            false => print(&text.to_string()),
        }
    }
}
