//! Where a cache is, and how large it may get.

use std::path::PathBuf;

/// What a cache may hold unless somebody says otherwise: 2 GiB, in bytes. That is some hundred large modules.
pub const DEFAULT_SIZE_LIMIT: u64 = 2 << 30;

/// Where a cache is, and how large it may get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// The directory, which the cache makes if it is missing.
    pub directory: PathBuf,
    /// How many bytes all entries together may have.
    pub size_limit: u64,
}

impl CacheConfig {
    /// A cache in `directory` that may hold [`DEFAULT_SIZE_LIMIT`].
    pub fn at(directory: impl Into<PathBuf>) -> CacheConfig {
        CacheConfig { directory: directory.into(), size_limit: DEFAULT_SIZE_LIMIT }
    }
}
