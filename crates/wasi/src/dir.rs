//! An open directory: the only way from a guest's path to a file.
//!
//! In: a directory handle with permissions, and relative paths from the guest. Out: open files and
//! directories, metadata, listings, or the host's error. Never: follows a path out of the directory. `cap-std`
//! ensures this, and nothing here passes a guest's path to anything else.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt, SystemTimeSpec};
use cap_std::fs::{OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::fd_flags::FdFlags;
use crate::file::File;
use crate::listing::{Listing, ListingBudget};
use crate::perms::{DirPerms, FilePerms, PreopenPerms};
use crate::stat::{FileKind, FileStat, NewTime};

/// An open directory.
pub(crate) struct Dir {
    dir: cap_std::fs::Dir,
    dir_perms: DirPerms,
    file_perms: FilePerms,
    /// The guest's name for the directory, if it is a preopen.
    pub(crate) preopen: Option<Box<str>>,
    listing: Mutex<Option<Arc<Listing>>>,
}

/// How to open a path.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OpenHow {
    pub(crate) follow: bool,
    pub(crate) create: bool,
    pub(crate) exclusive: bool,
    pub(crate) truncate: bool,
    pub(crate) directory: bool,
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) flags: FdFlags,
}

/// What a path refers to.
pub(crate) enum Opened {
    Dir(Dir),
    File(File),
}

impl Dir {
    /// Opens a directory of the host for the embedder.
    pub(crate) fn preopen(host: &Path, guest: &str, perms: PreopenPerms) -> io::Result<Dir> {
        let dir = cap_std::fs::Dir::open_ambient_dir(host, cap_std::ambient_authority())?;
        Ok(Dir::preopened(dir, guest, perms))
    }

    /// Takes a directory that the embedder has opened.
    pub(crate) fn of_handle(handle: OwnedFd, guest: &str, perms: PreopenPerms) -> io::Result<Dir> {
        let file = std::fs::File::from(handle);
        match file.metadata()?.is_dir() {
            true => Ok(Dir::preopened(cap_std::fs::Dir::from_std_file(file), guest, perms)),
            false => Err(Errno::NOTDIR.into()),
        }
    }

    fn preopened(dir: cap_std::fs::Dir, guest: &str, perms: PreopenPerms) -> Dir {
        let PreopenPerms { dirs: dir_perms, files: file_perms } = perms;
        Dir { dir, dir_perms, file_perms, preopen: Some(guest.into()), listing: Mutex::new(None) }
    }

    fn need(&self, perms: DirPerms) -> io::Result<()> {
        if self.dir_perms.contains(perms) { Ok(()) } else { Err(Errno::PERM.into()) }
    }

    /// Opens a file or directory below this one.
    pub(crate) fn open(&self, path: &str, how: OpenHow) -> io::Result<Opened> {
        self.need(DirPerms::READ)?;
        if how.directory && (how.create || how.exclusive || how.truncate) {
            return Err(Errno::INVAL.into());
        }
        // Creating and truncating need a writable descriptor, whatever the guest requested.
        let write = how.write || how.create || how.truncate;
        let read = how.read || !write;
        if how.create {
            self.need(DirPerms::MUTATE)?;
        }
        if write && !self.file_perms.contains(FilePerms::WRITE) {
            return Err(Errno::PERM.into());
        }
        let no_read = read && !self.file_perms.contains(FilePerms::READ);
        if no_read && write {
            return Err(Errno::PERM.into());
        }
        let file = self.dir.open_with(path, &options(how, read, write))?.into_std();
        let kind = FileStat::from(rustix::fs::fstat(&file)?).kind;
        if kind == FileKind::Directory {
            return Ok(Opened::Dir(Dir {
                dir: cap_std::fs::Dir::from_std_file(file),
                dir_perms: self.dir_perms,
                file_perms: self.file_perms,
                preopen: None,
                listing: Mutex::new(None),
            }));
        }
        if no_read {
            return Err(Errno::PERM.into());
        }
        Ok(Opened::File(File::new(file, (read, write), kind, self.file_perms, how.flags)?))
    }

    /// Returns whether the guest may change directories and what is in them.
    #[cfg(feature = "p2")]
    pub(crate) fn may_mutate(&self) -> bool {
        self.dir_perms.contains(DirPerms::MUTATE)
    }

    #[cfg(feature = "p2")]
    pub(crate) fn sync(&self) -> io::Result<()> {
        // The handle of a preopen only allows look-ups.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::fsync(rustix::fs::openat(&self.dir, c".", flags, rustix::fs::Mode::empty())?)?)
    }

    pub(crate) fn stat(&self) -> io::Result<FileStat> {
        Ok(rustix::fs::fstat(&self.dir)?.into())
    }

    pub(crate) fn set_times(&self, accessed: NewTime, modified: NewTime) -> io::Result<()> {
        self.set_times_at(".", false, accessed, modified)
    }

    pub(crate) fn stat_at(&self, path: &str, follow: bool) -> io::Result<FileStat> {
        self.need(DirPerms::READ)?;
        // A path that ends in a slash means a directory, so a final link is followed in any case.
        let follow = follow || path.ends_with('/') || path.ends_with("/.");
        let data = if follow { self.dir.metadata(path)? } else { self.dir.symlink_metadata(path)? };
        Ok(data.into())
    }

    pub(crate) fn set_times_at(
        &self,
        path: &str,
        follow: bool,
        accessed: NewTime,
        modified: NewTime,
    ) -> io::Result<()> {
        self.need(DirPerms::MUTATE)?;
        let (accessed, modified) = (time_spec(accessed)?, time_spec(modified)?);
        if follow {
            self.dir.set_times(path, accessed, modified)
        } else {
            self.dir.set_symlink_times(path, accessed, modified)
        }
    }

    pub(crate) fn create_dir(&self, path: &str) -> io::Result<()> {
        self.need(DirPerms::MUTATE)?;
        self.dir.create_dir(path)
    }

    pub(crate) fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.need(DirPerms::MUTATE)?;
        // As on the host, a trailing slash is not an empty name in the directory.
        match path.trim_end_matches('/') {
            "" => self.dir.remove_dir(path),
            path => self.dir.remove_dir(path),
        }
    }

    pub(crate) fn remove_file(&self, path: &str) -> io::Result<()> {
        self.need(DirPerms::MUTATE)?;
        self.dir.remove_file(path)
    }

    pub(crate) fn rename(&self, from: &str, to_dir: &Dir, to: &str) -> io::Result<()> {
        self.need_move(to_dir)?;
        self.dir.rename(from, &to_dir.dir, to)
    }

    pub(crate) fn hard_link(&self, from: &str, to_dir: &Dir, to: &str) -> io::Result<()> {
        self.need_move(to_dir)?;
        self.dir.hard_link(from, &to_dir.dir, to)
    }

    /// Checks that renaming a file does not put it under permissions wider than those it had.
    fn need_move(&self, to_dir: &Dir) -> io::Result<()> {
        self.need(DirPerms::MUTATE)?;
        to_dir.need(DirPerms::MUTATE)?;
        if (self.dir_perms, self.file_perms) != (to_dir.dir_perms, to_dir.file_perms) {
            return Err(Errno::PERM.into());
        }
        Ok(())
    }

    /// Creates a symbolic link to `target`, which must be relative.
    pub(crate) fn symlink(&self, target: &str, path: &str) -> io::Result<()> {
        self.need(DirPerms::MUTATE)?;
        self.dir.symlink(target, path)
    }

    /// Returns the target of a link; an absolute one is refused.
    pub(crate) fn read_link(&self, path: &str) -> io::Result<Vec<u8>> {
        self.need(DirPerms::READ)?;
        Ok(self.dir.read_link(path)?.into_os_string().into_encoded_bytes())
    }

    /// Returns the names in the directory.
    ///
    /// The list is read again when `restart` is set and kept until then, so that positions in it stay valid
    /// while the guest creates and removes entries.
    pub(crate) fn entries(
        &self,
        restart: bool,
        budget: &ListingBudget,
        must_end: &dyn Fn() -> bool,
    ) -> io::Result<Arc<Listing>> {
        self.need(DirPerms::READ)?;
        let mut kept = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        if let (false, Some(listing)) = (restart, &*kept) {
            return Ok(listing.clone());
        }
        *kept = None;
        let listing = Arc::new(Listing::of(&self.dir, self.stat()?.inode, budget, must_end)?);
        if listing.may_keep {
            *kept = Some(listing.clone());
        }
        Ok(listing)
    }

    /// Drops the list, because the guest has read it to its end.
    pub(crate) fn forget_entries(&self) {
        *self.listing.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn options(how: OpenHow, read: bool, write: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(read).write(write).truncate(how.truncate);
    options.create(how.create).create_new(how.create && how.exclusive);
    options.follow(if how.follow { FollowSymlinks::Yes } else { FollowSymlinks::No });
    options.sync(how.flags.contains(FdFlags::SYNC));
    options.dsync(how.flags.contains(FdFlags::DSYNC));
    options.rsync(how.flags.contains(FdFlags::RSYNC));
    options.nonblock(how.flags.contains(FdFlags::NONBLOCK));
    if how.directory {
        options.custom_flags(OFlags::DIRECTORY.bits() as i32);
    }
    options
}

fn time_spec(time: NewTime) -> io::Result<Option<SystemTimeSpec>> {
    Ok(match time {
        NewTime::Keep => None,
        NewTime::Now => Some(SystemTimeSpec::SymbolicNow),
        NewTime::At(ns) => {
            let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(ns));
            let time = cap_std::time::SystemTime::from_std(time.ok_or(Errno::OVERFLOW)?);
            Some(SystemTimeSpec::Absolute(time))
        }
    })
}
