//! A WASI command and what it is granted.

use anyhow::{Context, Result};
use std::path::PathBuf;

/// A WASI command and what it is granted, as on the command line of `belljar run`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Program {
    /// Directories: on the host, and as the guest sees them.
    pub dirs: Vec<(PathBuf, String)>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// The binary.
    pub file: PathBuf,
    /// Arguments, the program's name first.
    pub args: Vec<String>,
}

impl Program {
    /// Reads `[--dir HOST::GUEST] [--env K=V] [--argv0 NAME] FILE ARGS…`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no file, or an option is none of these.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut program = Self::default();
        let mut argv0 = None;
        loop {
            let word = words.next().context("which FILE?")?;
            if !word.starts_with('-') {
                program.args.push(argv0.unwrap_or_else(|| word.clone()));
                program.args.extend(words);
                program.file = word.into();
                return Ok(program);
            }
            let value = words.next().with_context(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--dir" => {
                    let (host, guest) = value.split_once("::").unwrap_or((&value, &value));
                    program.dirs.push((host.into(), guest.into()));
                }
                "--env" => {
                    let (key, value) = value.split_once('=').context("--env takes K=V")?;
                    program.env.push((key.into(), value.into()));
                }
                "--argv0" => argv0 = Some(value),
                _ => anyhow::bail!("unknown option {word}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Program> {
        Program::parse(line.split_whitespace().map(str::to_string))
    }

    #[test]
    fn options_end_at_the_file() {
        let program = parse("--dir /a::/b --env K=V=W --argv0 me x.wasm --dir -c").unwrap();
        assert_eq!(program.dirs, [("/a".into(), "/b".to_string())]);
        assert_eq!(program.env, [("K".to_string(), "V=W".to_string())]);
        assert_eq!(program.file, PathBuf::from("x.wasm"));
        assert_eq!(program.args, ["me", "--dir", "-c"]);
        assert_eq!(parse("x.wasm").unwrap().args, ["x.wasm"]);
    }

    #[test]
    fn it_says_what_is_wrong() {
        for line in ["", "--dir", "--quiet yes x.wasm", "--env K x.wasm"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
