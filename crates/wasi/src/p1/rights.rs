//! Rights, which `fd_fdstat_get` reports for a descriptor.
//!
//! Rights were WASI's way to restrict descriptors and have been given up. They are reported in the way that C
//! libraries rely on, and `path_open` takes the two bits for reading and writing from them; otherwise they are ignored.
//! What a guest may do follows from the embedder's permissions and from how the host opened a file.

use bitflags::bitflags;

use crate::descriptor::Descriptor;
use crate::stat::FileKind;

bitflags! {
    /// WASI 0.1's `rights`. Bits unknown here are ignored: C libraries set them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Rights: u64 {
        const FD_DATASYNC = 1 << 0;
        const FD_READ = 1 << 1;
        const FD_SEEK = 1 << 2;
        const FD_FDSTAT_SET_FLAGS = 1 << 3;
        const FD_SYNC = 1 << 4;
        const FD_TELL = 1 << 5;
        const FD_WRITE = 1 << 6;
        const FD_ADVISE = 1 << 7;
        const FD_ALLOCATE = 1 << 8;
        const PATH_CREATE_DIRECTORY = 1 << 9;
        const PATH_CREATE_FILE = 1 << 10;
        const PATH_LINK_SOURCE = 1 << 11;
        const PATH_LINK_TARGET = 1 << 12;
        const PATH_OPEN = 1 << 13;
        const FD_READDIR = 1 << 14;
        const PATH_READLINK = 1 << 15;
        const PATH_RENAME_SOURCE = 1 << 16;
        const PATH_RENAME_TARGET = 1 << 17;
        const PATH_FILESTAT_GET = 1 << 18;
        const PATH_FILESTAT_SET_SIZE = 1 << 19;
        const PATH_FILESTAT_SET_TIMES = 1 << 20;
        const FD_FILESTAT_GET = 1 << 21;
        const FD_FILESTAT_SET_SIZE = 1 << 22;
        const FD_FILESTAT_SET_TIMES = 1 << 23;
        const PATH_SYMLINK = 1 << 24;
        const PATH_REMOVE_DIRECTORY = 1 << 25;
        const PATH_UNLINK_FILE = 1 << 26;
        const POLL_FD_READWRITE = 1 << 27;
        const SOCK_SHUTDOWN = 1 << 28;
        const SOCK_ACCEPT = 1 << 29;
    }
}

/// The rights that are reported for a preopened directory.
const PREOPEN: Rights = Rights::PATH_CREATE_DIRECTORY
    .union(Rights::PATH_CREATE_FILE)
    .union(Rights::PATH_LINK_SOURCE)
    .union(Rights::PATH_LINK_TARGET)
    .union(Rights::PATH_OPEN)
    .union(Rights::FD_READDIR)
    .union(Rights::PATH_READLINK)
    .union(Rights::PATH_RENAME_SOURCE)
    .union(Rights::PATH_RENAME_TARGET)
    .union(Rights::PATH_SYMLINK)
    .union(Rights::PATH_REMOVE_DIRECTORY)
    .union(Rights::PATH_UNLINK_FILE)
    .union(Rights::PATH_FILESTAT_GET)
    .union(Rights::PATH_FILESTAT_SET_TIMES)
    .union(Rights::FD_FILESTAT_GET)
    .union(Rights::FD_FILESTAT_SET_TIMES);

/// The rights that are reported for files opened below a preopened directory.
const PREOPEN_INHERITING: Rights = PREOPEN
    .union(Rights::FD_DATASYNC)
    .union(Rights::FD_READ)
    .union(Rights::FD_SEEK)
    .union(Rights::FD_FDSTAT_SET_FLAGS)
    .union(Rights::FD_SYNC)
    .union(Rights::FD_TELL)
    .union(Rights::FD_WRITE)
    .union(Rights::FD_ADVISE)
    .union(Rights::FD_ALLOCATE)
    .union(Rights::FD_FILESTAT_SET_SIZE)
    .union(Rights::POLL_FD_READWRITE);

/// Base and inheriting rights of a descriptor.
pub(crate) fn rights(descriptor: &Descriptor) -> (Rights, Rights) {
    let base = match descriptor {
        // Without the rights to seek and tell: C libraries recognise a terminal by that.
        Descriptor::Input(_) => Rights::FD_READ,
        Descriptor::Output(_) => Rights::FD_WRITE,
        Descriptor::Dir(dir) if dir.preopen.is_some() => return (PREOPEN, PREOPEN_INHERITING),
        Descriptor::Dir(_) => {
            let not_for_dirs = Rights::FD_SEEK
                | Rights::FD_WRITE
                | Rights::FD_FILESTAT_SET_SIZE
                | Rights::PATH_FILESTAT_SET_SIZE;
            return (Rights::all() - not_for_dirs, Rights::all());
        }
        Descriptor::File(file) => {
            let mut base = Rights::all();
            base.set(Rights::FD_READ, file.readable);
            base.set(Rights::FD_READDIR, file.readable);
            base.set(Rights::FD_WRITE, file.writable);
            if file.kind == FileKind::CharacterDevice {
                base -= Rights::FD_SEEK | Rights::FD_TELL;
            }
            base
        }
        Descriptor::Socket(socket) => {
            let common = Rights::FD_FDSTAT_SET_FLAGS | Rights::FD_FILESTAT_GET | Rights::POLL_FD_READWRITE;
            let own = if socket.listening {
                Rights::FD_READ | Rights::SOCK_ACCEPT
            } else {
                Rights::FD_READ | Rights::FD_WRITE | Rights::SOCK_SHUTDOWN
            };
            let connected = Rights::FD_READ | Rights::FD_WRITE | Rights::SOCK_SHUTDOWN;
            return (common | own, common | connected);
        }
    };
    (base, base)
}
