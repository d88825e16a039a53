//! The text of `belljar help`: the subcommands, grouped by task.
//!
//! Clap lists subcommands in one group, so the list is a part of the template that clap fills in. What it says about a
//! subcommand comes from the subcommand itself.

use clap::Command;
use clap::builder::StyledStr;
use clap::builder::styling::Styles;
use std::fmt::Write;

/// The groups, and the subcommands of each.
const GROUPS: &[(&str, &[&str])] = &[
    ("Run programs", &["run"]),
    ("Prepare and check modules", &["compile", "snapshot", "inspect", "wit", "compose", "validate", "wast"]),
    ("Look at running programs", &["ps", "top", "stack", "profile", "kill"]),
    ("Manage the cache and keys", &["cache", "key"]),
    ("Set up the shell", &["completion", "man"]),
    ("Get help", &[HELP]),
];

/// The subcommand that clap adds itself.
const HELP: &str = "help";

/// What is said about it.
const ABOUT_HELP: &str = "Describe a subcommand with all its options: `belljar help run`";

/// Returns the template of the help of a program with these subcommands.
pub(crate) fn template(program: &Command) -> StyledStr {
    let styles = Styles::styled();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let names = GROUPS.iter().flat_map(|(_, names)| names.iter());
    let width = names.map(|name| name.len()).max().unwrap_or_default();
    let mut text = String::from("{about}\n\n{usage-heading} {usage}\n");
    for (group, names) in GROUPS {
        let _ = write!(text, "\n{header}{group}:{header:#}\n");
        for name in *names {
            let about = about(program, name);
            let _ = writeln!(text, "  {literal}{name:<width$}{literal:#}  {about}");
        }
    }
    let _ = write!(text, "\n{header}Options:{header:#}\n{{options}}{{after-help}}");
    text.into()
}

/// Returns the first line of a subcommand's help.
fn about(program: &Command, name: &str) -> String {
    match program.find_subcommand(name).and_then(Command::get_about) {
        Some(about) => about.to_string(),
        None => ABOUT_HELP.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line::CommandLine;

    #[test]
    fn every_subcommand_is_in_one_group() {
        let mut listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        listed.sort_unstable();
        let program = CommandLine::described();
        let visible = program.get_subcommands().filter(|command| !command.is_hide_set());
        let mut all: Vec<&str> = visible.map(Command::get_name).chain([HELP]).collect();
        all.sort_unstable();
        assert_eq!(listed, all);
    }

    #[test]
    fn every_subcommand_says_what_it_does() {
        let mut program = CommandLine::described();
        let help = program.render_help().to_string();
        for command in CommandLine::described().get_subcommands() {
            let about = command.get_about().unwrap().to_string();
            let line = help.lines().find(|line| line.trim_start().starts_with(command.get_name()));
            assert!(line.is_some_and(|line| line.ends_with(&about)), "{}", command.get_name());
        }
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}
