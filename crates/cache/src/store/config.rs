//! Where a cache is, and how large it may get.

use std::path::PathBuf;

/// The default size limit: 2 GiB, in bytes. That is a few hundred large modules.
pub const DEFAULT_SIZE_LIMIT: u64 = 2 << 30;

/// Where a cache is, and how large it may get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// The directory. The cache creates it if it is missing.
    pub directory: PathBuf,
    /// The size limit of all entries together, in bytes.
    pub size_limit: u64,
}

impl CacheConfig {
    /// Returns the configuration of a cache in `directory` with [`DEFAULT_SIZE_LIMIT`].
    pub fn at(directory: impl Into<PathBuf>) -> CacheConfig {
        CacheConfig { directory: directory.into(), size_limit: DEFAULT_SIZE_LIMIT }
    }
}
