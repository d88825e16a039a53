//! The error of a cache.

use crate::dirs::NoDirectory;
use belljar_core::OutsideText;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the cache did not do what it should. The caller can always go on without it.
#[derive(Debug)]
pub enum CacheError {
    /// The operating system says no.
    Io {
        /// What was to be done, as in "could not … it".
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// Something that is no directory is where the cache should be.
    NotADirectory {
        /// Where.
        path: PathBuf,
        /// What it is instead: `a file`, `a symbolic link`, …
        found: &'static str,
    },
    /// Others could put files into the cache.
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// Whose it is or what its mode allows, and what to do.
        why: String,
    },
    /// It is not known where the user's cache is.
    NoDirectory(NoDirectory),
    /// An artifact alone is larger than all of the cache may be.
    TooLarge {
        /// The artifact's bytes.
        bytes: u64,
        /// What the cache may hold, in bytes.
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
            Self::TooLarge { bytes, limit } => write!(
                f,
                "an artifact of {bytes} bytes is not kept: the whole cache may have {limit} bytes: raise \
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

/// Makes a closure that says what could not be done with `path`.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_path_buf();
    move |error| CacheError::Io { action, path, error }
}
