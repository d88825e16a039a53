//! `belljar completion`: prints a shell's completion script for this command line.

use crate::failure::Failure;
use crate::output::print_commands;
use clap::{Args, Command};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  belljar completion bash > ~/.local/share/bash-completion/completions/belljar
  belljar completion zsh > ~/.zfunc/_belljar       with ~/.zfunc in $fpath
  belljar completion fish > ~/.config/fish/completions/belljar.fish";

/// Print the completion script for a shell.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionOptions {
    /// The shell to complete for
    shell: Shell,
}

impl CompletionOptions {
    /// Prints the script for the command line that `program` describes.
    ///
    /// # Errors
    ///
    /// Returns an error if standard output cannot be written.
    pub(crate) fn execute(&self, program: &mut Command) -> Result<u8, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, program, "belljar", &mut script);
        print_commands(&String::from_utf8_lossy(&script))?;
        Ok(0)
    }
}
