//! Where a cache is, and how large it may get.

use super::cache_error::CacheError;
use super::config_file::Settings;
use crate::dirs::{cache_directory, config_directory};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The default size limit: 2 GiB, in bytes. That is a few hundred large modules.
pub const DEFAULT_SIZE_LIMIT: u64 = 2 << 30;

/// The largest configuration file that is read, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// Where a cache is, and how large it may get.
///
/// ```
/// use belljar_cache::{Cache, CacheConfig};
/// let home = tempfile::tempdir()?;
/// let mut config = CacheConfig::new();
/// config.with_directory(home.path().join("cache")).with_size_limit(100 << 20);
/// let cache = Cache::new(config)?;
/// assert_eq!(cache.size_limit(), 100 << 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// `None` for the user's.
    directory: Option<PathBuf>,
    size_limit: u64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl CacheConfig {
    /// Creates the configuration of a cache in the user's directory, `$XDG_CACHE_HOME/belljar` or `~/.cache/belljar`, with
    /// [`DEFAULT_SIZE_LIMIT`].
    pub fn new() -> Self {
        Self { directory: None, size_limit: DEFAULT_SIZE_LIMIT }
    }

    /// Creates the configuration of a cache in `directory` with [`DEFAULT_SIZE_LIMIT`].
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: Some(directory.into()), size_limit: DEFAULT_SIZE_LIMIT }
    }

    /// Reads the configuration from a TOML file of Wasmtime's format; from `$XDG_CONFIG_HOME/belljar/cache.toml` or
    /// `~/.config/belljar/cache.toml` if there is no path. If that file does not exist, this returns [`CacheConfig::new`].
    ///
    /// The file has one section, `[cache]`, of lines `key = "value"`:
    ///
    /// | key | value | effect |
    /// |---|---|---|
    /// | `directory` | an absolute path | [`CacheConfig::with_directory`] |
    /// | `files-total-size-soft-limit` | bytes, as `"512Mi"` (`K`, `Ki`, … `P`, `Pi`) | [`CacheConfig::with_size_limit`] |
    /// | `baseline-compression-level`, `optimized-compression-level` | a number | none |
    /// | `optimized-compression-usage-counter-threshold`, `worker-event-queue-size`, `file-count-soft-limit` | a count, as `"64K"` | none |
    /// | `cleanup-interval`, `optimizing-compression-task-timeout`, `allowed-clock-drift-for-files-from-future` | a time, as `"1h"` (`s`, `m`, `h`, `d`) | none |
    /// | `file-count-limit-percent-if-deleting`, `files-total-size-limit-percent-if-deleting` | as `"70%"` | none |
    ///
    /// # Errors
    /// Returns [`CacheError::Io`] if the file cannot be read, [`CacheError::Config`] if it has any other key or value, and
    /// [`CacheError::NoDirectory`] if there is no path and neither variable is known.
    pub fn from_file(path: Option<&Path>) -> Result<Self, CacheError> {
        let variable = |name: &str| std::env::var_os(name);
        let (path, must_exist) = match path {
            Some(path) => (path.to_path_buf(), true),
            None => (config_directory(variable).map_err(CacheError::NoDirectory)?.join("cache.toml"), false),
        };
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_string(&mut text));
        let read = read.and_then(|bytes| match bytes as u64 > LARGEST_FILE {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok(()),
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => Ok(Self::new()),
            Err(error) => Err(CacheError::Io { action: "read", path, error }),
            Ok(()) => {
                let Settings { directory, size_limit } =
                    Settings::parse(&text).map_err(|(line, why)| CacheError::Config { path, line, why })?;
                Ok(Self { directory, size_limit: size_limit.unwrap_or(DEFAULT_SIZE_LIMIT) })
            }
        }
    }

    /// Sets the directory. The cache creates it if it is missing.
    pub fn with_directory(&mut self, directory: impl Into<PathBuf>) -> &mut Self {
        self.directory = Some(directory.into());
        self
    }

    /// Sets the size limit of all entries together, in bytes.
    pub fn with_size_limit(&mut self, bytes: u64) -> &mut Self {
        self.size_limit = bytes;
        self
    }

    /// Returns the directory, or `None` for the user's.
    pub fn directory(&self) -> Option<&PathBuf> {
        self.directory.as_ref()
    }

    /// Returns the size limit of all entries together, in bytes.
    pub fn size_limit(&self) -> u64 {
        self.size_limit
    }

    /// Returns the directory that the cache will be in.
    pub(super) fn resolved_directory(self) -> Result<PathBuf, CacheError> {
        let of_user = || cache_directory(|name| std::env::var_os(name)).map_err(CacheError::NoDirectory);
        self.directory.map_or_else(of_user, Ok)
    }
}
