//! The two directories of a cache: created if missing, and refused if other users can change them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use belljar_core::OutsideText;

use super::cache_error::{CacheError, io_error};
use crate::access;
use crate::path_owners::{PathError, check_path};
use crate::private_directory::make_private_directory;

/// The subdirectory of entries. A different layout would get a different name, so both could coexist.
const LAYOUT: &str = "v1";

/// A cache's directory, and the subdirectory that holds the entries.
#[derive(Clone, Debug)]
pub(super) struct CacheDirectories {
    top: PathBuf,
    /// The subdirectory of entries.
    pub(super) entries: PathBuf,
}

impl CacheDirectories {
    /// Opens both directories, creating them if they are missing. Read-only directories can be opened.
    ///
    /// # Errors
    /// Returns the errors of [`Cache::open`](super::Cache::open).
    pub(super) fn open(top: PathBuf) -> Result<Self, CacheError> {
        let entries = top.join(LAYOUT);
        let directories = Self { top, entries };
        directories.prepare_top()?;
        // If nothing can be written, insertions report it.
        let _ = make_private_directory(&directories.entries);
        directories.check(&directories.entries)?;
        Ok(directories)
    }

    /// Returns the cache's directory.
    pub(super) fn top(&self) -> &Path {
        &self.top
    }

    /// Creates both directories if they are missing, and checks that they belong to this user alone.
    pub(super) fn prepare(&self) -> Result<(), CacheError> {
        self.prepare_top()?;
        make_private_directory(&self.entries).map_err(io_error("make", &self.entries))?;
        self.check(&self.entries)
    }

    fn prepare_top(&self) -> Result<(), CacheError> {
        let directory = &self.top;
        // Before anything is created there, and again once all of it exists.
        self.check_parents()?;
        let made = make_private_directory(directory);
        if fs::metadata(directory).is_err() {
            made.map_err(io_error("make", directory))?;
        }
        self.check(directory)?;
        self.check_parents()
    }

    /// Checks that no other user can put another directory in the cache's place.
    fn check_parents(&self) -> Result<(), CacheError> {
        match check_path(&self.top) {
            Ok(()) => Ok(()),
            Err(PathError::ControlledByOthers { path, why }) => {
                let why = format!("{why}; or name a directory elsewhere in BELLJAR_CACHE");
                Err(CacheError::NotPrivate { path, why })
            }
            Err(PathError::Io { path, error }) => Err(io_error("examine", &path)(error)),
        }
    }

    /// Checks that no other user can put files into a directory of the cache, if it exists.
    fn check(&self, directory: &Path) -> Result<(), CacheError> {
        let path = directory.to_path_buf();
        // The cache's directory may be a symbolic link, as the user chooses. The subdirectory is created by this crate.
        let found = match directory == self.entries {
            true => fs::symlink_metadata(directory),
            false => fs::metadata(directory),
        };
        match found {
            Ok(found) if !found.is_dir() => {
                let found = access::check_regular(&found).err().unwrap_or("a file");
                Err(CacheError::NotADirectory { path, found })
            }
            Ok(found) => {
                let own = "name a directory of your own in BELLJAR_CACHE";
                let chmod = format!("run `chmod go-w {}`, or {own}", OutsideText::new(&path));
                access::require_own(&found)
                    .map_err(|why| format!("{why}: {own}"))
                    .and_then(|()| {
                        access::require_not_writable_by_others(&found)
                            .map_err(|why| format!("{why}: {chmod}"))
                    })
                    .map_err(|why| CacheError::NotPrivate { path, why })
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(io_error("examine", directory)(e)),
        }
    }
}
