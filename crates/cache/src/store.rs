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

mod remove;
mod scan;

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use belljar_core::OutsideText;
use rustix::fs::OFlags;

use crate::access;
use crate::dirs::CacheChoice;
use crate::error::CacheError;
use crate::identity::Identity;
use crate::key::Key;
use crate::new_file::NewFile;
use crate::path_owners::{Doubt, check_path};
use crate::private_directory::make_private_directory;

use remove::remove;
use scan::{Found, Kind, scan};

pub use scan::ENTRY_SUFFIX;

/// What a cache may hold unless somebody says otherwise: 2 GiB, in bytes. That is some hundred large modules.
pub const DEFAULT_SIZE_LIMIT: u64 = 2 << 30;

/// Where entries are. Another layout of files would get another name, and both could be used side by side.
const LAYOUT: &str = "v1";

/// An entry's use is noted when the last one was noted this long ago: who runs a module a thousand times a
/// second does not write a thousand times, and the order of eviction needs no more.
const USE_GRAIN: Duration = Duration::from_secs(60 * 60);

/// A temporary file is removed when it is this old. Nobody writes one file for an hour: whoever began was
/// killed.
const TEMPORARY_LIFE: Duration = Duration::from_secs(60 * 60);

/// When all is to be removed, so are temporary files that were not written to for this long. One that is
/// still needed is written again; all the same, those that are being written should not be disturbed without
/// need.
const TEMPORARY_REST: Duration = Duration::from_secs(60);

/// When a cache is over its limit, one part of this many is made free, so that not every insertion has to
/// remove.
const FREED: u64 = 10;

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

/// Artifacts by key on disk.
#[derive(Clone, Debug)]
pub struct Cache {
    config: CacheConfig,
    /// Where entries are.
    entries: PathBuf,
}

/// A file that was found under a key. Whether it is what was once written under that key is for [`check`](crate::check),
/// which is to be asked for [`Entry::identity`].
#[derive(Debug)]
pub struct Entry {
    /// What it was found by.
    pub key: Key,
    /// Open to read, at its start. It stays readable whatever becomes of the cache.
    pub file: File,
    /// Its bytes.
    pub length: u64,
}

impl Entry {
    /// What it must have been sealed as.
    pub fn identity(&self) -> Identity {
        Identity::entry(self.key)
    }
}

/// Something that has a name of the cache's, and is no file. It is never found, and a new entry takes its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misplaced {
    /// Where it is.
    pub path: PathBuf,
    /// What it is: `a directory`, `a symbolic link`, …
    pub what: &'static str,
}

/// What is known of an entry without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryInfo {
    /// What it is found by.
    pub key: Key,
    /// Its bytes.
    pub length: u64,
    /// When it was last used, to the hour.
    pub last_use: SystemTime,
}

/// What a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How many entries.
    pub entries: u64,
    /// How many bytes they have together.
    pub bytes: u64,
    /// How many files are being written, or were left by processes that were killed.
    pub temporary_files: u64,
    /// How many bytes these have together.
    pub temporary_bytes: u64,
    /// How many things have the name of such a file and are none: directories, links and the like.
    pub misplaced: u64,
    /// How many bytes the entries may have.
    pub size_limit: u64,
    /// When the entry was last used that has been left alone for the longest time, to the hour.
    pub oldest_use: Option<SystemTime>,
    /// When any entry was last used, to the hour.
    pub newest_use: Option<SystemTime>,
}

impl Stats {
    fn add(&mut self, found: &Found) {
        match found.kind {
            Kind::Temporary => {
                self.temporary_files += 1;
                self.temporary_bytes = self.temporary_bytes.saturating_add(found.length);
            }
            Kind::Misplaced(_) => self.misplaced += 1,
            Kind::Entry(_) => {
                self.entries += 1;
                // Files with holes can claim any length.
                self.bytes = self.bytes.saturating_add(found.length);
                let time = found.last_use;
                self.oldest_use = Some(self.oldest_use.map_or(time, |t| t.min(time)));
                self.newest_use = Some(self.newest_use.map_or(time, |t| t.max(time)));
            }
        }
    }
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
        let entries = config.directory.join(LAYOUT);
        let cache = Cache { config, entries };
        cache.prepare_top()?;
        // If this fails because nothing can be written, insertions will say so.
        let _ = make_private_directory(&cache.entries);
        cache.judge(&cache.entries)?;
        Ok(cache)
    }

    /// Where the cache is.
    pub fn directory(&self) -> &Path {
        &self.config.directory
    }

    /// How many bytes all entries together may have.
    pub fn size_limit(&self) -> u64 {
        self.config.size_limit
    }

    /// The entry of a key. Whatever is wrong with it, there is then none: what is larger than the cache may be, for instance.
    pub fn find(&self, key: &Key) -> Option<Entry> {
        // A link could lead anywhere, and a pipe would wait for a writer.
        let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(self.path_of(key)).ok()?;
        let found = file.metadata().ok()?;
        // Whoever reads it takes memory for all of it, and nobody has put so much here.
        if !access::is_our_file(&found) || found.len() > self.config.size_limit {
            return None;
        }
        // A time in the future has no age, and is set right as well.
        let is_recent = found.modified().is_ok_and(|t| t.elapsed().is_ok_and(|age| age < USE_GRAIN));
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
        if bytes > self.config.size_limit {
            return Err(CacheError::TooLarge { bytes, limit: self.config.size_limit });
        }
        match self.write(key, artifact) {
            // Somebody emptied or removed the directory meanwhile: it is made again, once.
            Err(CacheError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                self.prepare()?;
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
        let path = self.entries.join(name);
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
        let mut removed = self.no_stats();
        for found in self.scan()? {
            if matches!(found.kind, Kind::Temporary) && !found.is_older_than(TEMPORARY_REST) {
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
        let mut stats = self.no_stats();
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
                Kind::Entry(key) => Some(EntryInfo { key, length: found.length, last_use: found.last_use }),
                Kind::Temporary | Kind::Misplaced(_) => None,
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
            Kind::Misplaced(what) => Some(Misplaced { path: found.path, what }),
            _ => None,
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }

    fn no_stats(&self) -> Stats {
        Stats { size_limit: self.config.size_limit, ..Stats::default() }
    }

    fn path_of(&self, key: &Key) -> PathBuf {
        self.entries.join(format!("{key}{ENTRY_SUFFIX}"))
    }

    fn scan(&self) -> Result<Vec<Found>, CacheError> {
        scan(&self.entries).map_err(io_error("read", &self.entries))
    }

    fn write(&self, key: &Key, artifact: &[u8]) -> Result<(), CacheError> {
        let path = self.path_of(key);
        NewFile::write(&self.entries, 0o600, artifact)
            .and_then(|new| new.replace(&path))
            .map_err(io_error("write", &path))
    }

    /// Makes room, but not by removing the entry of `kept`; and removes what killed processes left.
    fn evict(&self, kept: &Key) -> Result<(), CacheError> {
        let mut entries = Vec::new();
        let mut bytes = 0_u64;
        for found in self.scan()? {
            match found.kind {
                Kind::Entry(key) => {
                    bytes = bytes.saturating_add(found.length);
                    entries.push((found.last_use, key, found));
                }
                Kind::Temporary if found.is_older_than(TEMPORARY_LIFE) => {
                    remove(&found.path).map_err(io_error("remove", &found.path))?;
                }
                Kind::Temporary | Kind::Misplaced(_) => {}
            }
        }
        if bytes <= self.config.size_limit {
            return Ok(());
        }
        let enough = self.config.size_limit - self.config.size_limit / FREED;
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

    /// Makes both directories where they are missing, and looks whether they are ours.
    fn prepare(&self) -> Result<(), CacheError> {
        self.prepare_top()?;
        make_private_directory(&self.entries).map_err(io_error("make", &self.entries))?;
        self.judge(&self.entries)
    }

    fn prepare_top(&self) -> Result<(), CacheError> {
        let directory = &self.config.directory;
        // Before anything is made there, and again when all of it exists.
        self.check_way()?;
        let made = make_private_directory(directory);
        if fs::metadata(directory).is_err() {
            made.map_err(io_error("make", directory))?;
        }
        self.judge(directory)?;
        self.check_way()
    }

    /// Whether somebody else can put another directory in the cache's place.
    fn check_way(&self) -> Result<(), CacheError> {
        match check_path(&self.config.directory) {
            Ok(()) => Ok(()),
            Err(Doubt::Others { path, why }) => {
                let why = format!("{why}; or name a directory elsewhere in BELLJAR_CACHE");
                Err(CacheError::NotPrivate { path, why })
            }
            Err(Doubt::Io { path, error }) => Err(io_error("examine", &path)(error)),
        }
    }

    /// Whether nobody else can put files into a directory of the cache, if it is there.
    fn judge(&self, directory: &Path) -> Result<(), CacheError> {
        let path = directory.to_path_buf();
        // The cache itself may be a link, as the user likes it. What is in it, nobody but us has made.
        let found = match directory == self.entries {
            true => fs::symlink_metadata(directory),
            false => fs::metadata(directory),
        };
        match found {
            Ok(found) if !found.is_dir() => {
                let found = access::file_or_what(&found).err().unwrap_or("a file");
                Err(CacheError::NotADirectory { path, found })
            }
            Ok(found) => {
                let own = "name a directory of your own in BELLJAR_CACHE";
                let chmod = format!("run `chmod go-w {}`, or {own}", OutsideText::new(&path));
                access::is_ours(&found)
                    .map_err(|why| format!("{why}: {own}"))
                    .and_then(|()| {
                        access::nobody_else_writes(&found).map_err(|why| format!("{why}: {chmod}"))
                    })
                    .map_err(|why| CacheError::NotPrivate { path, why })
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(io_error("examine", directory)(e)),
        }
    }
}

/// Makes a closure that says what could not be done with `path`.
fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_path_buf();
    move |error| CacheError::Io { action, path, error }
}
