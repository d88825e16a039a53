//! `--preload`: a module whose exports the program may import.

use belljar::OutsideText;
use std::path::PathBuf;
use std::str::FromStr;

/// `NAME=FILE`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Preload {
    /// The module name under which it is imported.
    pub(super) name: String,
    /// Its file.
    pub(super) file: PathBuf,
}

impl FromStr for Preload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, file)) if !name.is_empty() && !file.is_empty() => {
                Ok(Self { name: name.into(), file: file.into() })
            }
            _ => Err(format!("expected NAME=FILE, found `{}`", OutsideText::new(text))),
        }
    }
}
