//! The command line: subcommands, and `belljar FILE` as a shorthand for `belljar run FILE`.

use crate::cache::CacheOptions;
use crate::compile::CompileOptions;
use crate::completion::CompletionOptions;
use crate::compose::ComposeOptions;
use crate::failure::Failure;
use crate::help;
use crate::inspect::InspectOptions;
use crate::key::KeyOptions;
use crate::kill::KillOptions;
use crate::man::ManOptions;
use crate::profile::ProfileOptions;
use crate::ps::PsOptions;
use crate::run::RunOptions;
use crate::snapshot::SnapshotOptions;
use crate::stack::StackOptions;
use crate::top::TopOptions;
use crate::validate::ValidateOptions;
use crate::version;
use crate::wast::WastOptions;
use crate::wit::WitOptions;
use belljar::similar_name;
use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::{OsStr, OsString};

const EXAMPLES: &str = "\
Examples:
  belljar hello.wasm one two           run a program (short for `belljar run hello.wasm one two`)
  belljar run --dir . tool.wasm a.txt  and let it use this directory
  belljar compile tool.wasm            compile it ahead of time, to tool.elf
  belljar inspect tool.wasm            show what is in it
  belljar validate *.wasm              check that modules are valid
  belljar ps                           list running programs and what they are doing
  belljar stack 4711                   show the stacks of one of them
  belljar help run                     all options of a subcommand, with examples";

/// The program's name in messages, whatever its file is called.
const NAME: &str = "belljar";

/// The default subcommand.
const RUN: &str = "run";

/// A WebAssembly runtime whose guests can always be inspected, stopped and reset.
#[derive(Parser, Clone, Debug)]
#[command(name = NAME, version, long_version = version::long(), after_help = EXAMPLES, arg_required_else_help = true)]
#[command(override_usage = "belljar [RUN OPTIONS] FILE [ARGS]...\n       belljar <COMMAND> ...")]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    Run(Box<RunOptions>),
    Compile(CompileOptions),
    Snapshot(SnapshotOptions),
    Inspect(InspectOptions),
    Wit(WitOptions),
    Compose(ComposeOptions),
    Validate(ValidateOptions),
    Wast(WastOptions),
    Ps(PsOptions),
    Kill(KillOptions),
    Stack(StackOptions),
    Top(TopOptions),
    Profile(ProfileOptions),
    Cache(CacheOptions),
    Key(KeyOptions),
    Completion(CompletionOptions),
    Man(ManOptions),
}

impl CommandLine {
    /// Parses the arguments of a process, including its own name.
    ///
    /// # Errors
    ///
    /// Returns clap's errors, which include help and version output.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        // Without this, clap would print the name of the executable in its usage.
        let mut args: Vec<OsString> = [NAME.into()].into_iter().chain(args.into_iter().skip(1)).collect();
        if args.get(1).is_some_and(|first| means_run(first)) {
            args.insert(1, RUN.into());
        }
        if args.get(1).is_some_and(|first| first == RUN) {
            Self::read_run(args)
        } else {
            let mut line = Self::described();
            let matches = line.try_get_matches_from_mut(args).map_err(|error| suggest(error, &line))?;
            Self::of_matches(matches, &mut line)
        }
    }

    /// Parses a command line whose first argument is `run`. Describes only that subcommand to clap: building the
    /// descriptions of all others would take longer than running a small program.
    fn read_run(args: Vec<OsString>) -> Result<Self, clap::Error> {
        let run = RunOptions::augment_args(clap::Command::new(RUN));
        let mut line = clap::Command::new(NAME).subcommand(run);
        let matches = line.try_get_matches_from_mut(args)?;
        Self::of_matches(matches, &mut line)
    }

    fn of_matches(mut matches: ArgMatches, line: &mut clap::Command) -> Result<Self, clap::Error> {
        let command = Command::from_arg_matches_mut(&mut matches).map_err(|error| error.format(line))?;
        Ok(Self { command })
    }

    /// Describes the whole command line to clap.
    pub(crate) fn described() -> clap::Command {
        let program = Self::command();
        let template = help::template(&program);
        program.help_template(template)
    }

    /// Executes the subcommand. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Returns an error with its exit code.
    pub fn execute(&self) -> Result<u8, Failure> {
        match &self.command {
            Command::Run(options) => options.execute(|| names_of(&Self::described())),
            Command::Compile(options) => options.execute(),
            Command::Snapshot(options) => options.execute(),
            Command::Inspect(options) => options.execute(),
            Command::Wit(options) => options.execute(),
            Command::Compose(options) => options.execute(),
            Command::Validate(options) => options.execute(),
            Command::Wast(options) => options.execute(),
            Command::Ps(options) => options.execute(),
            Command::Kill(options) => options.execute(),
            Command::Stack(options) => options.execute(),
            Command::Top(options) => options.execute(),
            Command::Profile(options) => options.execute(),
            Command::Cache(options) => options.execute(),
            Command::Key(options) => options.execute(),
            Command::Completion(options) => options.execute(&mut Self::described()),
            Command::Man(options) => options.execute(Self::described()),
        }
    }
}

/// Adds the subcommand that was meant to the error for one that does not exist, where clap does not: to that of `help`.
fn suggest(mut error: clap::Error, program: &clap::Command) -> clap::Error {
    let Some(ContextValue::String(wanted)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    let names = names_of(program);
    let similar = similar_name(wanted, names.iter().map(|name| &**name)).map(str::to_string);
    if let (Some(similar), None) = (similar, error.get(ContextKind::SuggestedSubcommand)) {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![similar]));
    }
    error
}

/// Returns the names of the subcommands.
fn names_of(program: &clap::Command) -> Vec<String> {
    program.get_subcommands().map(|command| command.get_name().to_string()).chain(["help".into()]).collect()
}

/// Returns whether the first argument is a file or an option of `run`.
fn means_run(first: &OsStr) -> bool {
    let known = ["help", "-h", "--help", "-V", "--version"];
    let Some(first) = first.to_str() else { return true };
    !known.contains(&first) && !Command::has_subcommand(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> String {
        let line = CommandLine::read(["belljar"].iter().chain(args).map(OsString::from));
        match line {
            Ok(line) => format!("{:?}", line.command).split('(').next().unwrap_or_default().into(),
            Err(error) => format!("{:?}", error.kind()),
        }
    }

    #[test]
    fn a_file_or_an_option_of_run_means_run() {
        assert_eq!(read(&["a.wasm", "--help"]), "Run");
        assert_eq!(read(&["--dir", ".", "a.wasm"]), "Run");
        assert_eq!(read(&["run", "a.wasm"]), "Run");
        assert_eq!(read(&["inspect", "a.wasm"]), "Inspect");
        assert_eq!(read(&["--version"]), "DisplayVersion");
        let command = CommandLine::command();
        assert!(command.get_subcommands().all(|command| !means_run(command.get_name().as_ref())));
        assert!(means_run("help.wasm".as_ref()));
        assert_eq!(read(&[]), "DisplayHelpOnMissingArgumentOrSubcommand");
    }

    /// Parsing `run` alone gives the same results and the same errors.
    #[test]
    fn run_is_read_as_among_all_subcommands() {
        for args in [
            "",
            "a.wasm --b",
            "--help",
            "-h",
            "--nonsense",
            "--timeout soon a.wasm",
            "--max-threads 2 a.wasm",
            "--limits help",
        ] {
            let words = || ["belljar", "run"].into_iter().chain(args.split_whitespace()).map(OsString::from);
            let all = |words| {
                let mut line = CommandLine::described();
                let matches = line.try_get_matches_from_mut(words)?;
                CommandLine::of_matches(matches, &mut line)
            };
            let shown = |line: Result<CommandLine, clap::Error>| match line {
                Ok(line) => format!("{line:?}"),
                Err(error) => error.to_string(),
            };
            assert_eq!(shown(CommandLine::read(words())), shown(all(words())), "{args}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
