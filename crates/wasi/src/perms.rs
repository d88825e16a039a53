//! Permissions of a preopened directory, in addition to those of the host's file system.

use bitflags::bitflags;

bitflags! {
    /// What a guest may do with the directories below a preopen.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct DirPerms: u8 {
        /// List directories, look up names, read metadata and links.
        const READ = 1;
        /// Create, rename, link and remove names, change the times of files and directories.
        const MUTATE = 2;
    }
}

bitflags! {
    /// What a guest may do with the files below a preopen.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct FilePerms: u8 {
        /// Read a file's bytes.
        const READ = 1;
        /// Write, append, truncate.
        const WRITE = 2;
    }
}

/// What a guest may do below a preopen: the two usual choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsPerms {
    /// Read directories and files.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

impl FsPerms {
    /// Returns whether the guest may only read.
    pub fn write_not_permitted(&self) -> bool {
        *self == FsPerms::ReadOnly
    }
}

/// What a guest may do below a preopen: a [`FsPerms`], or a pair of [`DirPerms`] and [`FilePerms`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreopenPerms {
    pub(crate) dirs: DirPerms,
    pub(crate) files: FilePerms,
}

impl From<FsPerms> for PreopenPerms {
    fn from(perms: FsPerms) -> PreopenPerms {
        match perms {
            FsPerms::ReadOnly => PreopenPerms { dirs: DirPerms::READ, files: FilePerms::READ },
            FsPerms::ReadWrite => PreopenPerms { dirs: DirPerms::all(), files: FilePerms::all() },
        }
    }
}

impl From<(DirPerms, FilePerms)> for PreopenPerms {
    fn from((dirs, files): (DirPerms, FilePerms)) -> PreopenPerms {
        PreopenPerms { dirs, files }
    }
}
