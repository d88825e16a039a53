//! The error of reading or making a key, and the closures that make one.

use super::key_text_error::KeyTextError;
use belljar_core::OutsideText;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no key.
#[derive(Debug)]
pub enum KeyError {
    /// The operating system says no.
    Io {
        /// What was to be done, as in "could not … it".
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// A file or directory that others can reach, or that is no such thing.
    Refused {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A file does not hold what it should.
    Malformed {
        /// Which file.
        path: PathBuf,
        /// The line, from 1, in a file of many.
        line: Option<usize>,
        /// What is wrong there.
        error: KeyTextError,
    },
    /// A new key would take the place of a file.
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The operating system gives no random bytes.
    Random(io::Error),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, error } => {
                write!(f, "could not {action} {}: {error}", OutsideText::new(path))
            }
            Self::Refused { path, why } => write!(f, "{} is not used: {why}", OutsideText::new(path)),
            Self::Malformed { path, line: Some(line), error } => {
                write!(f, "{}, line {line}: {error}", OutsideText::new(path))
            }
            Self::Malformed { path, line: None, error } => write!(f, "{}: {error}", OutsideText::new(path)),
            Self::Exists { path } => write!(
                f,
                "{} exists, and keys are never overwritten: choose another name, or move it away",
                OutsideText::new(path)
            ),
            Self::Random(error) => write!(f, "could not make a key: no random bytes: {error}"),
        }
    }
}

impl std::error::Error for KeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } | Self::Random(error) => Some(error),
            Self::Malformed { error, .. } => Some(error),
            Self::Refused { .. } | Self::Exists { .. } => None,
        }
    }
}

/// Makes a closure that says what could not be done with `path`.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_path_buf();
    move |error| KeyError::Io { action, path, error }
}

/// Makes a closure that says why `path` is not used, and what to do.
pub(super) fn refused(path: &Path, advice: &str) -> impl FnOnce(String) -> KeyError {
    let (path, advice) = (path.to_path_buf(), advice.to_string());
    move |why| KeyError::Refused { path, why: format!("{why}: {advice}") }
}

/// Makes a closure that says what is wrong with the text in `path`.
pub(super) fn malformed(path: &Path, line: Option<usize>) -> impl FnOnce(KeyTextError) -> KeyError {
    let path = path.to_path_buf();
    move |error| KeyError::Malformed { path, line, error }
}
