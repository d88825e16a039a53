//! The error of a cache.

use crate::dirs::NoDirectory;
use belljar_core::OutsideText;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The reason why a cache operation failed. The caller can always continue without the cache.
#[derive(Debug)]
pub enum CacheError {
    /// The operating system reported an error.
    Io {
        /// What was attempted, as in "could not … it".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        error: io::Error,
    },
    /// The path of the cache is not a directory.
    NotADirectory {
        /// The path.
        path: PathBuf,
        /// What it is instead: `a file`, `a symbolic link`, …
        found: &'static str,
    },
    /// Other users could put files into the cache.
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// Its owner or mode, and what to do.
        why: String,
    },
    /// The location of the user's cache is unknown.
    NoDirectory(NoDirectory),
    /// The configuration file of the cache is wrong.
    Config {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1 on.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The artifact alone exceeds the cache's size limit.
    TooLarge {
        /// The artifact's size in bytes.
        bytes: u64,
        /// The size limit in bytes.
        limit: u64,
    },
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, error } => {
                write!(f, "the cache could not {action} {}: {error}", OutsideText::new(path))
            }
            Self::NotADirectory { path, found } => write!(
                f,
                "{} is not used as a cache: expected a directory, found {found}: move it away, or name \
                 another directory in BELLJAR_CACHE",
                OutsideText::new(path)
            ),
            Self::NotPrivate { path, why } => {
                write!(f, "{} is not used as a cache: {why}", OutsideText::new(path))
            }
            Self::NoDirectory(error) => error.fmt(f),
            Self::Config { path, line, why } => {
                write!(f, "{}:{line}: {why}", OutsideText::new(path))
            }
            Self::TooLarge { bytes, limit } => write!(
                f,
                "an artifact of {bytes} bytes is not cached: the whole cache may have {limit} bytes: raise \
                 its limit"
            ),
        }
    }
}

impl std::error::Error for CacheError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Returns a closure that makes the error of an action that failed on `path`.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_path_buf();
    move |error| CacheError::Io { action, path, error }
}
