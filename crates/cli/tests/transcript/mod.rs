//! Transcripts: files and commands, and how to run them.

use std::fmt::Write;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

/// A parsed transcript. Each part keeps its text, so that parts that are not run are written back unchanged.
pub(crate) struct Transcript<'a> {
    /// The text before the first part.
    preamble: &'a str,
    parts: Vec<Part<'a>>,
}

struct Part<'a> {
    title: &'a str,
    text: &'a str,
}

const MARK: &str = "=== ";

impl<'a> Transcript<'a> {
    /// Returns the titles of the parts.
    #[allow(dead_code, reason = "only one of the tests uses it")]
    pub(crate) fn titles(&self) -> impl Iterator<Item = &'a str> {
        self.parts.iter().map(|part| part.title)
    }

    /// Splits a text at its titles.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        let mut starts: Vec<usize> = text.match_indices("\n=== ").map(|(at, _)| at + 1).collect();
        if text.starts_with(MARK) {
            starts.insert(0, 0);
        }
        let preamble = &text[..*starts.first().ok_or("no line starts with `=== `")?];
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        let parts = starts.iter().zip(ends).map(|(start, end)| {
            let part = &text[*start..end];
            let (title, text) = part.split_once('\n').unwrap_or((part, ""));
            Part { title: &title[MARK.len()..], text }
        });
        Ok(Self { preamble, parts: parts.collect() })
    }

    /// Writes the files and runs the commands. Returns the transcript with the actual output. `call` executes the parts
    /// that begin with `library: `, by the rest of their titles, and returns their output.
    pub(crate) fn replay(&self, program: &Path, call: impl Fn(&str) -> String) -> String {
        let dir = tempfile::tempdir().unwrap();
        let mut found = self.preamble.to_string();
        for part in &self.parts {
            let _ = writeln!(found, "{MARK}{}", part.title);
            if let Some(command) = part.title.strip_prefix("$ ") {
                found.push_str(&run(program, dir.path(), command));
            } else if let Some(name) = part.title.strip_prefix("library: ") {
                found.push_str(&as_errors(&call(name)));
                found.push('\n');
            } else {
                part.write(dir.path());
                found.push_str(part.text);
            }
        }
        // One empty line between parts, none at the end.
        found.truncate(found.trim_end().len());
        found + "\n"
    }
}

impl Part<'_> {
    fn write(&self, dir: &Path) {
        let (name, is_hex) = match self.title.strip_suffix(", in hexadecimal") {
            Some(name) => (name, true),
            None => (self.title, false),
        };
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if name.ends_with('/') {
            return std::fs::create_dir_all(path).unwrap();
        }
        if !is_hex {
            return std::fs::write(path, self.text).unwrap();
        }
        let digits: Vec<char> = self.text.chars().filter(|c| !c.is_whitespace()).collect();
        let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
        std::fs::write(path, digits.chunks(2).map(byte).collect::<Vec<u8>>()).unwrap();
    }
}

/// Runs a command. Returns its output in the form of a part.
fn run(program: &Path, dir: &Path, line: &str) -> String {
    let mut words = words(line).into_iter().peekable();
    let mut command = Command::new(program);
    command.current_dir(dir).stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
    // Runs must not affect each other.
    command.env("BELLJAR_CACHE", "off").env("HOME", dir).env_remove("CLICOLOR_FORCE");
    command.env("XDG_STATE_HOME", dir.join("state")).env("XDG_CONFIG_HOME", dir.join("config"));
    // Other programs that are running must not affect a transcript.
    command.env("BELLJAR_RUNTIME_DIR", dir.join("runtime"));
    while let Some((name, value)) = words.peek().and_then(|w| w.split_once('=')) {
        command.env(name, value);
        words.next();
    }
    assert_eq!(words.next().as_deref(), Some("belljar"), "in `{line}`");
    while let Some(word) = words.next() {
        match word.as_str() {
            "<" => {
                let name = words.next().unwrap();
                command.stdin(File::open(dir.join(name)).unwrap());
            }
            _ => {
                command.arg(word);
            }
        }
    }
    let output = command.output().unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str("(no line end)\n");
    }
    text.push_str(&as_errors(&String::from_utf8_lossy(&output.stderr)));
    match output.status.code() {
        Some(0) => {}
        Some(code) => drop(writeln!(text, "exit {code}")),
        None => drop(writeln!(text, "killed: {}", output.status)),
    }
    text + "\n"
}

/// Marks lines as those of an error.
fn as_errors(text: &str) -> String {
    text.lines().map(|line| format!("! {line}").trim_end().to_string() + "\n").collect()
}

/// Splits a line at spaces; quotes of either kind protect spaces and each other.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (' ', None) => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Returns the lines that differ, with the context of the first.
pub(crate) fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let same = expected.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let same_at_end =
        expected[same..].iter().rev().zip(found[same..].iter().rev()).take_while(|(a, b)| a == b);
    let end = same_at_end.count();
    let mut text = String::new();
    for line in &expected[same.saturating_sub(3)..same] {
        let _ = writeln!(text, "  {line}");
    }
    for line in &expected[same..expected.len() - end] {
        let _ = writeln!(text, "- {line}");
    }
    for line in &found[same..found.len() - end] {
        let _ = writeln!(text, "+ {line}");
    }
    text
}
