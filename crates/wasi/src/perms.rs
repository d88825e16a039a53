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
