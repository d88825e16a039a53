//! `belljar man`: writes the manual pages for this command line.

use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::output::complain;
use crate::output_file::{Readers, cannot_write, write};
use belljar::error::Context;
use belljar::{Counted, OutsideText};
use clap::{Args, Command};
use clap_mangen::Man;
use std::io;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  belljar man ~/.local/share/man/man1      then `man belljar` and `man belljar-run` show them
  belljar man /usr/local/share/man/man1    for all users

Exit codes: 0, or 74 if a page cannot be written.";

/// Write the manual pages to a directory
///
/// There is a page for the program, belljar.1, and one for each subcommand, such as belljar-run.1. Pages that are
/// there already are replaced.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManOptions {
    /// The directory, which must exist
    #[arg(value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
}

impl ManOptions {
    /// Writes the pages for the command line that `program` describes. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Returns an error if a page cannot be written.
    pub(crate) fn execute(&self, program: Command) -> Result<u8, Failure> {
        let pages = pages(program).with_exit_code(ExitCode::Bug)?;
        for Page { name, text } in &pages {
            let path = self.dir.join(name);
            write(&path, Readers::Usual, |out| out.write_all(text))
                .with_context(|| cannot_write(&path))
                .with_exit_code(ExitCode::Unwritable)?;
        }
        let pages = Counted::of(pages.len(), "manual page");
        complain(&format!("note: wrote {pages} to {}", OutsideText::new(&self.dir)));
        Ok(ExitCode::Success as u8)
    }
}

/// A manual page.
struct Page {
    /// The name of its file.
    name: String,
    text: Vec<u8>,
}

/// Returns the pages of a program and all its subcommands.
fn pages(program: Command) -> io::Result<Vec<Page>> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    collect(&program, program.get_name(), &mut pages)?;
    Ok(pages)
}

/// Adds the pages of a command and its subcommands. `name` joins the names of the commands that it is in with its own.
fn collect(command: &Command, name: &str, pages: &mut Vec<Page>) -> io::Result<()> {
    // The version of the page; `--version` has more lines.
    let named = command.clone().display_name(name).long_version(None);
    let man = Man::new(named).manual("belljar").source(concat!("belljar ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    text.extend(
        command.get_after_help().map(|help| after_help(&help.to_string())).unwrap_or_default().bytes(),
    );
    pages.push(Page { name: man.get_filename(), text });
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        collect(inner, &format!("{name}-{}", inner.get_name()), pages)?;
    }
    Ok(())
}

/// Formats what stands behind the options in a help text: paragraphs, and blocks with a title, such as `Examples:`, whose
/// lines are kept as they are.
fn after_help(help: &str) -> String {
    let mut text = String::new();
    for paragraph in help.split("\n\n") {
        match paragraph.split_once(":\n") {
            Some((title, lines)) => {
                text.push_str(&format!(".SH {}\n.nf\n", title.to_uppercase()));
                lines.lines().for_each(|line| text.push_str(&escape(line)));
                text.push_str(".fi\n");
            }
            None => {
                text.push_str(if text.contains(NOTES) { ".PP\n" } else { NOTES });
                text.push_str(&escape(paragraph));
            }
        }
    }
    text
}

/// The title of the paragraphs.
const NOTES: &str = ".SH NOTES\n";

/// Escapes a line for roff.
fn escape(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    // A period here would begin a request.
    let start = if escaped.starts_with('.') { "\\&" } else { "" };
    format!("{start}{escaped}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line::CommandLine;
    use std::collections::HashSet;

    #[test]
    fn every_subcommand_has_a_page_with_its_options() {
        let program = CommandLine::described();
        let pages = pages(program.clone()).unwrap();
        let text = |name: &str| {
            let page = pages.iter().find(|page| page.name == name).unwrap_or_else(|| panic!("no {name}"));
            String::from_utf8(page.text.clone()).unwrap()
        };
        for command in program.get_subcommands() {
            let page = text(&format!("belljar-{}.1", command.get_name()));
            for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES"] {
                assert!(page.contains(&format!("\n.SH {section}\n")), "{section} is missing:\n{page}");
            }
            for argument in command.get_arguments() {
                let Some(long) = argument.get_long() else { continue };
                assert!(page.contains(&long.replace('-', "\\-")), "{long} is missing:\n{page}");
            }
        }
        assert!(text("belljar-key-new.1").contains("NAME"));
        assert!(text("belljar.1").contains("belljar\\-run(1)"));
        assert!(text("belljar-run.1").contains("\n.SH EXIT CODES\n.nf\n"));
        let names: HashSet<&str> = pages.iter().map(|page| &*page.name).collect();
        assert_eq!(names.len(), pages.len());
    }

    #[test]
    fn examples_are_kept_and_paragraphs_are_filled() {
        let help = "Examples:\n  belljar 'a-b'\n  .c\n\nOne.\n\n.Two\\";
        let expected =
            ".SH EXAMPLES\n.nf\n  belljar \\(aqa\\-b\\(aq\n  .c\n.fi\n.SH NOTES\nOne.\n.PP\n\\&.Two\\e\n";
        assert_eq!(after_help(help), expected);
    }
}
