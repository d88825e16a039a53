//! A directory of files by key, for any number of processes at once.
//!
//! ```text
//! <directory>/v1/<64 digits>.artifact        an entry, complete from the moment it has this name
//! <directory>/v1/.tmp-<process>-<n>-<random>  a file being written, or left by a process that was killed
//! ```
//!
//! There is no index and no lock. An entry exists if its file exists; the file's modification time is the time of its
//! last use; a process that has opened an entry can read it even after it is replaced or removed. Processes never block
//! each other for longer than a rename. **Invariant:** a file's contents never change once it has an entry's name.

mod cache_error;
mod config;
mod config_file;
mod directories;
mod entry;
mod remove;
mod scan;
mod stats;

use std::fs::{FileTimes, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use crate::access;
use crate::dirs::CacheChoice;
use crate::key::Key;
use crate::new_file::NewFile;

use cache_error::io_error;
use directories::CacheDirectories;
use remove::remove;
use scan::{ScannedFile, ScannedKind, scan};

pub use cache_error::CacheError;
pub use config::{CacheConfig, DEFAULT_SIZE_LIMIT};
pub use entry::{Entry, EntryInfo, Misplaced};
pub use scan::ENTRY_SUFFIX;
pub use stats::Stats;

/// The resolution of last-use times. A use is recorded only if the previous record is this old: running a module a
/// thousand times a second must not write a thousand times, and eviction needs no finer order.
const USE_TIME_RESOLUTION: Duration = Duration::from_secs(60 * 60);

/// Temporary files of this age are removed. No file takes an hour to write, so the process that started it was killed.
const TEMPORARY_MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// `clear` also removes temporary files that have not been written to for this long. Removing a file that is still
/// being written is harmless, as it is written again, but is avoided.
const TEMPORARY_MIN_AGE_TO_CLEAR: Duration = Duration::from_secs(60);

/// When a cache exceeds its limit, one part in this many is freed, so that not every insertion evicts.
const EVICTED_FRACTION: u64 = 10;

/// A cache of artifacts on disk, by key.
#[derive(Clone, Debug)]
pub struct Cache {
    directories: CacheDirectories,
    size_limit: u64,
    counts: Arc<Counts>,
}

/// How often a cache and its clones were searched.
#[derive(Debug, Default)]
struct Counts {
    hits: AtomicUsize,
    misses: AtomicUsize,
}

impl Cache {
    /// Opens the user's cache: the directory in `BELLJAR_CACHE`, `None` if that is `off`, otherwise the directory that
    /// the XDG Base Directory Specification defines.
    ///
    /// # Errors
    /// Returns the errors of [`Cache::open`], and an error if no directory is known.
    pub fn of_user() -> Result<Option<Cache>, CacheError> {
        let variable = |name: &str| std::env::var_os(name);
        let directory = CacheChoice::of(variable).directory(variable).map_err(CacheError::NoDirectory)?;
        directory.map(|directory| Cache::open(CacheConfig::at(directory))).transpose()
    }

    /// Opens a cache, and creates its directory if it is missing. A cache that cannot be written to can still be opened
    /// and searched.
    ///
    /// # Errors
    /// Returns [`CacheError::NotPrivate`] if other users can put files into the directory or replace it,
    /// [`CacheError::NotADirectory`] if it is not a directory, and [`CacheError::Io`] if it can be neither found nor created.
    pub fn open(config: CacheConfig) -> Result<Cache, CacheError> {
        let size_limit = config.size_limit();
        let directories = CacheDirectories::open(config.resolved_directory()?)?;
        Ok(Cache { directories, size_limit, counts: Arc::default() })
    }

    /// The same as [`Cache::open`].
    ///
    /// # Errors
    /// Returns the errors of [`Cache::open`].
    pub fn new(config: CacheConfig) -> Result<Cache, CacheError> {
        Self::open(config)
    }

    /// Opens the cache that a TOML file configures: see [`CacheConfig::from_file`].
    ///
    /// # Errors
    /// Returns the errors of [`CacheConfig::from_file`] and [`Cache::open`].
    pub fn from_file(path: Option<&Path>) -> Result<Cache, CacheError> {
        Self::open(CacheConfig::from_file(path)?)
    }

    /// Returns how often a module was found in the cache, by this value and its clones.
    pub fn cache_hits(&self) -> usize {
        self.counts.hits.load(Ordering::Relaxed)
    }

    /// Returns how often a module was not found in the cache, by this value and its clones.
    pub fn cache_misses(&self) -> usize {
        self.counts.misses.load(Ordering::Relaxed)
    }

    /// Returns the cache's directory.
    pub fn directory(&self) -> &Path {
        self.directories.top()
    }

    /// Returns how many bytes all entries together may have.
    pub fn size_limit(&self) -> u64 {
        self.size_limit
    }

    /// Returns the entry of a key. An entry with any problem counts as missing: for example, one that is larger than
    /// the size limit.
    pub fn find(&self, key: &Key) -> Option<Entry> {
        let found = self.find_uncounted(key);
        let count = if found.is_some() { &self.counts.hits } else { &self.counts.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    fn find_uncounted(&self, key: &Key) -> Option<Entry> {
        // A link could lead anywhere, and opening a pipe would wait for a writer.
        let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(self.path_of(key)).ok()?;
        let found = file.metadata().ok()?;
        // The caller allocates memory for the whole file, and no insertion writes so much.
        if !access::is_own_file(&found) || found.len() > self.size_limit {
            return None;
        }
        // A time in the future has no age, and is corrected as well.
        let is_recent =
            found.modified().is_ok_and(|t| t.elapsed().is_ok_and(|age| age < USE_TIME_RESOLUTION));
        if !is_recent {
            // A failure to record the use does not matter: the entry has been found.
            let _ = file.set_times(FileTimes::new().set_modified(SystemTime::now()));
        }
        Some(Entry { key: *key, file, length: found.len() })
    }

    /// Stores an artifact under a key, replacing an existing entry, and evicts the least recently used entries if the
    /// cache is full.
    ///
    /// After a power failure the entry may be missing, but never damaged: the file is synced before it gets its name,
    /// while the name itself is not synced.
    ///
    /// # Errors
    /// Returns [`CacheError::TooLarge`] if the artifact alone exceeds the size limit, [`CacheError::NotPrivate`] or
    /// [`CacheError::NotADirectory`] if the directory no longer qualifies, and [`CacheError::Io`] if writing or eviction fails. If only
    /// eviction fails, the entry exists.
    pub fn insert(&self, key: &Key, artifact: &[u8]) -> Result<(), CacheError> {
        let bytes = artifact.len() as u64;
        if bytes > self.size_limit {
            return Err(CacheError::TooLarge { bytes, limit: self.size_limit });
        }
        match self.write(key, artifact) {
            // Another process emptied or removed the directory: create it again, once.
            Err(CacheError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                self.directories.prepare()?;
                self.write(key, artifact)?;
            }
            // A directory has this name, which a file cannot replace.
            Err(CacheError::Io { error, .. }) if error.kind() == io::ErrorKind::IsADirectory => {
                self.remove(key)?;
                self.write(key, artifact)?;
            }
            written => written?,
        }
        self.evict(key)
    }

    /// Removes the entry of a key, or whatever has its name. Returns whether there was one.
    ///
    /// # Errors
    /// Returns [`CacheError::Io`] if it could not be removed.
    pub fn remove(&self, key: &Key) -> Result<bool, CacheError> {
        let path = self.path_of(key);
        remove(&path).map_err(io_error("remove", &path))
    }

    /// Removes something that is not a file but has a cache file's name. Returns whether it still existed.
    ///
    /// # Errors
    /// Returns [`CacheError::Io`] if it could not be removed, for example because a file system is mounted there.
    pub fn remove_misplaced(&self, misplaced: &Misplaced) -> Result<bool, CacheError> {
        // Only the name is used of the caller's path.
        let Some(name) = misplaced.path.file_name() else { return Ok(false) };
        let path = self.directories.entries.join(name);
        match self.scan()?.iter().any(|found| found.path == path) {
            true => remove(&path).map_err(io_error("remove", &path)),
            false => Ok(false),
        }
    }

    /// Removes all entries, everything else with an entry's name, and temporary files that have not been written to for
    /// a minute. Returns what was removed. Links are removed, not followed, and nothing outside the cache is removed.
    ///
    /// # Errors
    /// Returns [`CacheError::Io`] if the directory cannot be read or a file in it cannot be removed; others may already have been
    /// removed.
    pub fn clear(&self) -> Result<Stats, CacheError> {
        let mut removed = self.empty_stats();
        for found in self.scan()? {
            if matches!(found.kind, ScannedKind::Temporary)
                && !found.is_older_than(TEMPORARY_MIN_AGE_TO_CLEAR)
            {
                continue;
            }
            if remove(&found.path).map_err(io_error("remove", &found.path))? {
                removed.add(&found);
            }
        }
        Ok(removed)
    }

    /// Returns what the cache holds.
    ///
    /// # Errors
    /// Returns [`CacheError::Io`] if the directory cannot be read.
    pub fn stats(&self) -> Result<Stats, CacheError> {
        let mut stats = self.empty_stats();
        self.scan()?.iter().for_each(|found| stats.add(found));
        Ok(stats)
    }

    /// Returns all entries, least recently used first.
    ///
    /// # Errors
    /// Returns [`CacheError::Io`] if the directory cannot be read.
    pub fn entries(&self) -> Result<impl Iterator<Item = EntryInfo> + use<>, CacheError> {
        let mut entries: Vec<EntryInfo> = self
            .scan()?
            .iter()
            .filter_map(|found| match found.kind {
                ScannedKind::Entry(key) => {
                    Some(EntryInfo { key, length: found.length, last_use: found.last_use })
                }
                ScannedKind::Temporary | ScannedKind::Misplaced(_) => None,
            })
            .collect();
        entries.sort_by_key(|entry| (entry.last_use, entry.key));
        Ok(entries.into_iter())
    }

    /// Returns everything that has the name of an entry or temporary file but is not a file, sorted by path.
    ///
    /// # Errors
    /// Returns [`CacheError::Io`] if the directory cannot be read.
    pub fn misplaced(&self) -> Result<Vec<Misplaced>, CacheError> {
        let all = self.scan()?.into_iter().filter_map(|found| match found.kind {
            ScannedKind::Misplaced(what) => Some(Misplaced { path: found.path, what }),
            _ => None,
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }

    fn empty_stats(&self) -> Stats {
        Stats { size_limit: self.size_limit, ..Stats::default() }
    }

    fn path_of(&self, key: &Key) -> PathBuf {
        self.directories.entries.join(format!("{key}{ENTRY_SUFFIX}"))
    }

    fn scan(&self) -> Result<Vec<ScannedFile>, CacheError> {
        scan(&self.directories.entries).map_err(io_error("read", &self.directories.entries))
    }

    fn write(&self, key: &Key, artifact: &[u8]) -> Result<(), CacheError> {
        let path = self.path_of(key);
        NewFile::write(&self.directories.entries, 0o600, artifact)
            .and_then(|new| new.replace(&path))
            .map_err(io_error("write", &path))
    }

    /// Evicts entries, but never that of `kept`, and removes temporary files that killed processes left.
    fn evict(&self, kept: &Key) -> Result<(), CacheError> {
        let mut entries = Vec::new();
        let mut bytes = 0_u64;
        for found in self.scan()? {
            match found.kind {
                ScannedKind::Entry(key) => {
                    bytes = bytes.saturating_add(found.length);
                    entries.push((found.last_use, key, found));
                }
                ScannedKind::Temporary if found.is_older_than(TEMPORARY_MAX_AGE) => {
                    remove(&found.path).map_err(io_error("remove", &found.path))?;
                }
                ScannedKind::Temporary | ScannedKind::Misplaced(_) => {}
            }
        }
        if bytes <= self.size_limit {
            return Ok(());
        }
        let enough = self.size_limit - self.size_limit / EVICTED_FRACTION;
        entries.sort_by_key(|(last_use, key, _)| (*last_use, *key));
        for (_, _, found) in entries.iter().filter(|(_, key, _)| key != kept) {
            if bytes <= enough {
                break;
            }
            // If another process removed it first, the bytes are free as well.
            remove(&found.path).map_err(io_error("remove", &found.path))?;
            bytes = bytes.saturating_sub(found.length);
        }
        Ok(())
    }
}
