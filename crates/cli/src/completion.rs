//! `belljar completion`: what a shell needs to complete our command lines.

use crate::command_line::CommandLine;
use crate::failure::Failure;
use crate::output::print_commands;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  belljar completion bash > ~/.local/share/bash-completion/completions/belljar
  belljar completion zsh > ~/.zfunc/_belljar       with ~/.zfunc in $fpath
  belljar completion fish > ~/.config/fish/completions/belljar.fish";

/// Print the completion script of a shell.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionOptions {
    /// The shell
    shell: Shell,
}

impl CompletionOptions {
    /// Prints the script.
    ///
    /// # Errors
    ///
    /// Where standard output cannot be written.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut CommandLine::command(), "belljar", &mut script);
        print_commands(&String::from_utf8_lossy(&script))?;
        Ok(0)
    }
}
