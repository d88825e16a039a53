//! `--preload`: a module whose exports the program may import.

use crate::failure::Failure;
use crate::module_file::ModuleFile;
use belljar::OutsideText;
use std::path::PathBuf;
use std::str::FromStr;

/// `NAME=FILE`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Preload {
    /// The module name from which it is imported.
    pub(super) name: String,
    /// The path of the module.
    pub(super) file: PathBuf,
}

impl Preload {
    /// Reads the module as a binary. Returns it with its name.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, or is not a module.
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
            _ => Err(format!(
                "expected NAME=FILE, where NAME is the module name of the imports, found `{}`",
                OutsideText::new(text)
            )),
        }
    }
}
