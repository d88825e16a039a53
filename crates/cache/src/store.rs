//! Files by key below one directory, for any number of processes at once.
//!
//! ```text
//! <directory>/v1/<64 digits>.artifact        an entry, whole from the moment it has this name
//! <directory>/v1/.tmp-<process>-<n>-<random>  one on its way, or given up by a process that was killed
//! ```
//!
//! There is no index and no lock: an entry is there if its file is, was last used when its file says it was
//! modified, and whoever has opened one keeps it though it be replaced or removed. Processes wait for each
//! other no longer than a rename takes. **Invariant:** a file's contents never change once it has an entry's
//! name.

mod cache_error;
mod config;
mod directories;
mod entry;
mod remove;
mod scan;
mod stats;

use std::fs::{FileTimes, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
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

/// An entry's use is noted when the last one was noted this long ago: who runs a module a thousand times a
/// second does not write a thousand times, and the order of eviction needs no more.
const USE_TIME_RESOLUTION: Duration = Duration::from_secs(60 * 60);

/// A temporary file is removed when it is this old. Nobody writes one file for an hour: whoever began was
/// killed.
const TEMPORARY_MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// When all is to be removed, so are temporary files that were not written to for this long. One that is
/// still needed is written again; all the same, those that are being written should not be disturbed without
/// need.
const TEMPORARY_MIN_AGE_TO_CLEAR: Duration = Duration::from_secs(60);

/// When a cache is over its limit, one part of this many is made free, so that not every insertion has to
/// remove.
const EVICTED_FRACTION: u64 = 10;

/// Artifacts by key on disk.
#[derive(Clone, Debug)]
pub struct Cache {
    directories: CacheDirectories,
    size_limit: u64,
}

impl Cache {
    /// The user's cache: where `BELLJAR_CACHE` says, `None` if it says `off`, otherwise where the XDG Base Directory
    /// Specification says.
    ///
    /// # Errors
    /// As [`Cache::open`], and if neither that nor the user's home is known.
    pub fn of_user() -> Result<Option<Cache>, CacheError> {
        let variable = |name: &str| std::env::var_os(name);
        let directory = CacheChoice::of(variable).directory(variable).map_err(CacheError::NoDirectory)?;
        directory.map(|directory| Cache::open(CacheConfig::at(directory))).transpose()
    }

    /// Opens a cache, and makes its directory if it is missing. One that cannot be written to can be opened
    /// and searched.
    ///
    /// # Errors
    /// [`CacheError::NotPrivate`] if others can put files into the directory or another directory in its place,
    /// [`CacheError::NotADirectory`]
    /// if it is none, [`CacheError::Io`] if it can be neither found nor made.
    pub fn open(config: CacheConfig) -> Result<Cache, CacheError> {
        let directories = CacheDirectories::open(config.directory)?;
        Ok(Cache { directories, size_limit: config.size_limit })
    }

    /// Where the cache is.
    pub fn directory(&self) -> &Path {
        self.directories.top()
    }

    /// How many bytes all entries together may have.
    pub fn size_limit(&self) -> u64 {
        self.size_limit
    }

    /// The entry of a key. Whatever is wrong with it, there is then none: what is larger than the cache may be, for instance.
    pub fn find(&self, key: &Key) -> Option<Entry> {
        // A link could lead anywhere, and a pipe would wait for a writer.
        let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(self.path_of(key)).ok()?;
        let found = file.metadata().ok()?;
        // Whoever reads it takes memory for all of it, and nobody has put so much here.
        if !access::is_own_file(&found) || found.len() > self.size_limit {
            return None;
        }
        // A time in the future has no age, and is set right as well.
        let is_recent =
            found.modified().is_ok_and(|t| t.elapsed().is_ok_and(|age| age < USE_TIME_RESOLUTION));
        if !is_recent {
            // Who cannot note it has found the entry all the same.
            let _ = file.set_times(FileTimes::new().set_modified(SystemTime::now()));
        }
        Some(Entry { key: *key, file, length: found.len() })
    }

    /// Keeps an artifact under a key, in place of what was there, and makes room if the cache is full:
    /// entries go that were not used for the longest time.
    ///
    /// After a power failure the entry may be missing, but not be damaged: the file is on the disk before it
    /// has its name, while the name itself is not waited for.
    ///
    /// # Errors
    /// [`CacheError::TooLarge`] if the artifact alone is larger than the cache may be;
    /// [`CacheError::NotPrivate`] and [`CacheError::NotADirectory`] if the directory is no longer what it
    /// was; [`CacheError::Io`] if it could not be written, or if room could not be made. In the last case the
    /// entry is there.
    pub fn insert(&self, key: &Key, artifact: &[u8]) -> Result<(), CacheError> {
        let bytes = artifact.len() as u64;
        if bytes > self.size_limit {
            return Err(CacheError::TooLarge { bytes, limit: self.size_limit });
        }
        match self.write(key, artifact) {
            // Somebody emptied or removed the directory meanwhile: it is made again, once.
            Err(CacheError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                self.directories.prepare()?;
                self.write(key, artifact)?;
            }
            // A directory has its name, which no file can be put in the place of.
            Err(CacheError::Io { error, .. }) if error.kind() == io::ErrorKind::IsADirectory => {
                self.remove(key)?;
                self.write(key, artifact)?;
            }
            written => written?,
        }
        self.evict(key)
    }

    /// Removes the entry of a key, or whatever has its name; gives whether there was one.
    ///
    /// # Errors
    /// [`CacheError::Io`] if it is still there.
    pub fn remove(&self, key: &Key) -> Result<bool, CacheError> {
        let path = self.path_of(key);
        remove(&path).map_err(io_error("remove", &path))
    }

    /// Removes something that has a name of the cache's; gives whether it was still there.
    ///
    /// # Errors
    /// [`CacheError::Io`] if it still is: a file system is mounted there, for instance.
    pub fn remove_misplaced(&self, misplaced: &Misplaced) -> Result<bool, CacheError> {
        // Of the caller's path only the name counts.
        let Some(name) = misplaced.path.file_name() else { return Ok(false) };
        let path = self.directories.entries.join(name);
        match self.scan()?.iter().any(|found| found.path == path) {
            true => remove(&path).map_err(io_error("remove", &path)),
            false => Ok(false),
        }
    }

    /// Removes all entries, whatever else has an entry's name, and temporary files that were not written to for a minute,
    /// and gives what was removed. Links are removed and not followed, and of directories nothing is removed that is not in
    /// the cache.
    ///
    /// # Errors
    /// [`CacheError::Io`] if the directory cannot be read or a file in it cannot be removed; others may be
    /// gone then.
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

    /// What the cache holds.
    ///
    /// # Errors
    /// [`CacheError::Io`] if the directory cannot be read.
    pub fn stats(&self) -> Result<Stats, CacheError> {
        let mut stats = self.empty_stats();
        self.scan()?.iter().for_each(|found| stats.add(found));
        Ok(stats)
    }

    /// All entries, the one first that was not used for the longest time.
    ///
    /// # Errors
    /// [`CacheError::Io`] if the directory cannot be read.
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

    /// What has the name of an entry or temporary file and is none, by name.
    ///
    /// # Errors
    /// [`CacheError::Io`] if the directory cannot be read.
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

    /// Makes room, but not by removing the entry of `kept`; and removes what killed processes left.
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
            // If another process was faster, the bytes are gone as well.
            remove(&found.path).map_err(io_error("remove", &found.path))?;
            bytes = bytes.saturating_sub(found.length);
        }
        Ok(())
    }
}
