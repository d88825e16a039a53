//! `--preload`: a module whose exports the program may import.

use crate::failure::Failure;
use crate::module_file::ModuleFile;
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

impl Preload {
    /// Its name, and its contents as a binary.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or is none of a module.
    pub(super) fn read(&self) -> Result<(&str, ModuleFile), Failure> {
        Ok((&self.name, ModuleFile::read(&self.file)?.into_binary_with_lines()?))
    }
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
