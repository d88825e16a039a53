//! An open file below a preopen: a regular file, device or pipe.
//!
//! The guest uses the host's own file offset and status flags, so that seeking, appending and reading from
//! several threads behave as on the host. Nothing else holds the host's descriptor.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::fs::{OFlags, SeekFrom, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;
#[cfg(feature = "p2")]
use rustix::{buffer::spare_capacity, io::ReadWriteFlags};

use crate::fd_flags::FdFlags;
use crate::perms::FilePerms;
use crate::stat::{FileKind, FileStat, NewTime};

/// An open file.
pub(crate) struct File {
    file: std::fs::File,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) kind: FileKind,
    perms: FilePerms,
    flags: AtomicU16,
}

impl File {
    /// Wraps a file that was opened with `readable` and `writable` and all of `flags` but `APPEND`.
    pub(crate) fn new(
        file: std::fs::File,
        (readable, writable): (bool, bool),
        kind: FileKind,
        perms: FilePerms,
        flags: FdFlags,
    ) -> io::Result<File> {
        let file = File { file, readable, writable, kind, perms, flags: AtomicU16::new(flags.bits()) };
        if flags.contains(FdFlags::APPEND) {
            file.set_flags(flags)?;
        }
        Ok(file)
    }

    pub(crate) fn flags(&self) -> FdFlags {
        FdFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// Sets `APPEND` and `NONBLOCK`; the other flags stay as they were when the file was opened.
    pub(crate) fn set_flags(&self, flags: FdFlags) -> io::Result<()> {
        let mut host = rustix::fs::fcntl_getfl(&self.file)?;
        host.set(OFlags::APPEND, flags.contains(FdFlags::APPEND));
        host.set(OFlags::NONBLOCK, flags.contains(FdFlags::NONBLOCK));
        rustix::fs::fcntl_setfl(&self.file, host)?;
        let changeable = FdFlags::APPEND | FdFlags::NONBLOCK;
        let kept = self.flags() - changeable;
        self.flags.store((kept | (flags & changeable)).bits(), Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn read(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Ok(rustix::io::readv(&self.file, buffers)?)
    }

    pub(crate) fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::preadv(&self.file, buffers, offset)?)
    }

    /// Reads at most `count` bytes from `offset` on, or from a file that is no regular one at its own position.
    #[cfg(feature = "p2")]
    pub(crate) fn read_bytes(&self, count: usize, offset: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(count);
        match self.is_regular() {
            true => rustix::io::pread(&self.file, spare_capacity(&mut bytes), offset)?,
            false => rustix::io::read(&self.file, spare_capacity(&mut bytes))?,
        };
        Ok(bytes)
    }

    /// Appends some bytes, wherever the position is.
    #[cfg(feature = "p2")]
    pub(crate) fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_regular() {
            return self.write(&[IoSlice::new(bytes)]);
        }
        Ok(rustix::io::pwritev2(&self.file, &[IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND)?)
    }

    pub(crate) fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::writev(&self.file, buffers)?)
    }

    pub(crate) fn write_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&self.file, buffers, offset)?)
    }

    pub(crate) fn is_regular(&self) -> bool {
        self.kind == FileKind::RegularFile
    }

    pub(crate) fn seek(&self, to: SeekFrom) -> io::Result<u64> {
        Ok(rustix::fs::seek(&self.file, to)?)
    }

    pub(crate) fn tell(&self) -> io::Result<u64> {
        Ok(rustix::fs::tell(&self.file)?)
    }

    pub(crate) fn stat(&self) -> io::Result<FileStat> {
        Ok(rustix::fs::fstat(&self.file)?.into())
    }

    pub(crate) fn set_size(&self, size: u64) -> io::Result<()> {
        self.check_writable()?;
        Ok(rustix::fs::ftruncate(&self.file, size)?)
    }

    pub(crate) fn set_times(&self, accessed: NewTime, modified: NewTime) -> io::Result<()> {
        self.check_writable()?;
        let times = Timestamps { last_access: timespec(accessed), last_modification: timespec(modified) };
        Ok(rustix::fs::futimens(&self.file, &times)?)
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.perms.contains(FilePerms::WRITE) { Ok(()) } else { Err(Errno::PERM.into()) }
    }

    pub(crate) fn advise(&self, offset: u64, len: u64, advice: rustix::fs::Advice) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.file, offset, std::num::NonZeroU64::new(len), advice)?)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.file)?)
    }

    pub(crate) fn sync_data(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.file)?)
    }

    /// Returns how many bytes a read would return now, as far as known.
    pub(crate) fn available(&self) -> u64 {
        if self.kind != FileKind::RegularFile {
            return rustix::io::ioctl_fionread(&self.file).unwrap_or(0);
        }
        let size = self.stat().map_or(0, |stat| stat.size);
        size.saturating_sub(self.tell().unwrap_or(0))
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn timespec(time: NewTime) -> Timespec {
    match time {
        NewTime::Keep => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        NewTime::Now => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        // Both casts are exact: 2^64 ns are 584 years, and the remainder is below 10^9.
        NewTime::At(ns) => {
            Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as _ }
        }
    }
}
