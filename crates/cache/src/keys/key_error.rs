//! The error of reading or creating a key, and functions that construct it.

use super::key_text_error::KeyTextError;
use belljar_core::OutsideText;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The reason why there is no key.
#[derive(Debug)]
pub enum KeyError {
    /// The operating system reported an error.
    Io {
        /// What was attempted, as in "could not … it".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        error: io::Error,
    },
    /// A file or directory that other users can access, or that is of the wrong kind.
    Refused {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// The contents of a file are malformed.
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, in a file of several keys.
        line: Option<usize>,
        /// What is wrong with the text.
        error: KeyTextError,
    },
    /// A new key would overwrite a file.
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The operating system provided no random bytes.
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

/// Returns a closure that makes the error of an action that failed on `path`.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_path_buf();
    move |error| KeyError::Io { action, path, error }
}

/// Returns a closure that makes the error of a `path` that is not used for a reason, with advice.
pub(super) fn refused(path: &Path, advice: &str) -> impl FnOnce(String) -> KeyError {
    let (path, advice) = (path.to_path_buf(), advice.to_string());
    move |why| KeyError::Refused { path, why: format!("{why}: {advice}") }
}

/// Returns a closure that makes the error of malformed text in `path`.
pub(super) fn malformed(path: &Path, line: Option<usize>) -> impl FnOnce(KeyTextError) -> KeyError {
    let path = path.to_path_buf();
    move |error| KeyError::Malformed { path, line, error }
}
