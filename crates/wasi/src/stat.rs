//! A file's kind, identity, size and times, as the host reports them.

use cap_std::fs::MetadataExt;
use rustix::fs::{FileType, Stat};

/// The kind of a file. `// ORDER:` the numbers are those of WASI 0.1's `filetype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FileKind {
    Unknown = 0,
    BlockDevice = 1,
    CharacterDevice = 2,
    Directory = 3,
    RegularFile = 4,
    SocketStream = 6,
    SymbolicLink = 7,
}

impl From<FileType> for FileKind {
    fn from(kind: FileType) -> FileKind {
        match kind {
            FileType::RegularFile => FileKind::RegularFile,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::SymbolicLink,
            FileType::CharacterDevice => FileKind::CharacterDevice,
            FileType::BlockDevice => FileKind::BlockDevice,
            FileType::Socket => FileKind::SocketStream,
            // WASI 0.1 has no number for a pipe.
            FileType::Fifo | FileType::Unknown => FileKind::Unknown,
        }
    }
}

/// Attributes of a file; times are nanoseconds since 1970, zero for anything earlier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileStat {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) kind: FileKind,
    pub(crate) links: u64,
    pub(crate) size: u64,
    pub(crate) accessed: u64,
    pub(crate) modified: u64,
    pub(crate) changed: u64,
}

impl FileStat {
    /// Returns the attributes of something that is not in a file system: a stream or socket.
    pub(crate) fn of_stream(kind: FileKind) -> FileStat {
        FileStat { device: 0, inode: 0, kind, links: 0, size: 0, accessed: 0, modified: 0, changed: 0 }
    }
}

// The widths of these fields differ between architectures.
#[allow(clippy::unnecessary_cast)]
impl From<Stat> for FileStat {
    fn from(stat: Stat) -> FileStat {
        FileStat {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            kind: FileType::from_raw_mode(stat.st_mode).into(),
            links: stat.st_nlink as u64,
            size: stat.st_size as u64,
            accessed: nanoseconds(stat.st_atime as i64, stat.st_atime_nsec as i64),
            modified: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

impl From<cap_std::fs::Metadata> for FileStat {
    fn from(data: cap_std::fs::Metadata) -> FileStat {
        FileStat {
            device: data.dev(),
            inode: data.ino(),
            kind: FileType::from_raw_mode(data.mode()).into(),
            links: data.nlink(),
            size: data.size(),
            accessed: nanoseconds(data.atime(), data.atime_nsec()),
            modified: nanoseconds(data.mtime(), data.mtime_nsec()),
            changed: nanoseconds(data.ctime(), data.ctime_nsec()),
        }
    }
}

fn nanoseconds(seconds: i64, nanos: i64) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(nanos).unwrap_or(0))
}

/// How to change one of a file's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewTime {
    Keep,
    Now,
    /// Nanoseconds since 1970.
    At(u64),
}
