//! A guest consisting of a context and a megabyte of memory, with calls in a form convenient for tests.

use belljar_wasi::p1::{self, Errno, Error};
use belljar_wasi::{DirPerms, FilePerms, GuestMemory, WasiCtx, WasiCtxBuilder};
use tempfile::TempDir;

pub(crate) const READ: u64 = 1 << 1;
pub(crate) const WRITE: u64 = 1 << 6;
pub(crate) const CREAT: u32 = 1;
pub(crate) const DIRECTORY: u32 = 2;
pub(crate) const EXCL: u32 = 4;
pub(crate) const TRUNC: u32 = 8;
pub(crate) const APPEND: u32 = 1;
pub(crate) const NONBLOCK: u32 = 4;
pub(crate) const FOLLOW: u32 = 1;

/// The guest's memory layout: lists of buffers, results, paths, data.
const LIST: u32 = 0x1000;
const RESULT: u32 = 0x2000;
const PATH: u32 = 0x3000;
const PATH2: u32 = 0x8000;
const DATA: u32 = 0x10000;

pub(crate) struct Guest {
    pub(crate) ctx: WasiCtx,
    pub(crate) bytes: Vec<u8>,
}

/// A directory of the host for one test, as descriptor 3 of a guest, named `/`.
pub(crate) fn guest_with_dir() -> (TempDir, Guest) {
    let dir = tempfile::tempdir().unwrap();
    let guest = Guest::in_dir(&dir, DirPerms::all(), FilePerms::all());
    (dir, guest)
}

pub(crate) fn errno<T: std::fmt::Debug>(result: Result<T, Error>) -> Errno {
    match result {
        Err(Error::Errno(errno)) => errno,
        other => panic!("expected an errno, found {other:?}"),
    }
}

/// Next cookie, inode, kind, name.
pub(crate) type Entry = (u64, u64, u8, String);

pub(crate) struct Stat {
    pub(crate) inode: u64,
    pub(crate) kind: u8,
    pub(crate) links: u64,
    pub(crate) size: u64,
    pub(crate) accessed: u64,
    pub(crate) modified: u64,
}

impl Guest {
    pub(crate) fn new(ctx: WasiCtx) -> Guest {
        Guest { ctx, bytes: vec![0; 1 << 20] }
    }

    pub(crate) fn in_dir(dir: &TempDir, dir_perms: DirPerms, file_perms: FilePerms) -> Guest {
        let mut builder = WasiCtxBuilder::new();
        builder.preopened_dir(dir.path(), "/", (dir_perms, file_perms)).unwrap();
        Guest::new(builder.build())
    }

    pub(crate) fn call(
        &mut self,
        function: impl FnOnce(&WasiCtx, &mut GuestMemory<'_>) -> p1::Result,
    ) -> p1::Result {
        function(&self.ctx, &mut GuestMemory::new(&mut self.bytes))
    }

    pub(crate) fn put(&mut self, at: u32, bytes: &[u8]) {
        GuestMemory::new(&mut self.bytes).write_bytes(at, bytes).unwrap();
    }

    pub(crate) fn get<const N: usize>(&self, at: u32) -> [u8; N] {
        self.bytes[at as usize..at as usize + N].try_into().unwrap()
    }

    pub(crate) fn result32(&self) -> u32 {
        u32::from_le_bytes(self.get(RESULT))
    }

    fn path(&mut self, path: &str) -> u32 {
        self.put(PATH, path.as_bytes());
        path.len() as u32
    }

    fn path2(&mut self, path: &str) -> u32 {
        self.put(PATH2, path.as_bytes());
        path.len() as u32
    }

    /// Lays out buffers of these lengths, with gaps between them, and returns the list's address and length.
    pub(crate) fn buffers(&mut self, parts: &[&[u8]]) -> (u32, u32) {
        let mut at = DATA;
        for (i, part) in parts.iter().enumerate() {
            self.put(at, part);
            self.put(LIST + i as u32 * 8, &at.to_le_bytes());
            self.put(LIST + i as u32 * 8 + 4, &(part.len() as u32).to_le_bytes());
            at += part.len() as u32 + 8;
        }
        (LIST, parts.len() as u32)
    }

    pub(crate) fn open(
        &mut self,
        dir: u32,
        path: &str,
        oflags: u32,
        rights: u64,
        fdflags: u32,
    ) -> Result<u32, Error> {
        self.open_with(dir, FOLLOW, path, oflags, rights, fdflags)
    }

    pub(crate) fn open_with(
        &mut self,
        dir: u32,
        lookup: u32,
        path: &str,
        oflags: u32,
        rights: u64,
        fdflags: u32,
    ) -> Result<u32, Error> {
        let len = self.path(path);
        self.call(|ctx, memory| {
            p1::path_open(ctx, memory, dir, lookup, PATH, len, oflags, rights, rights, fdflags, RESULT)
        })?;
        Ok(self.result32())
    }

    pub(crate) fn close(&mut self, fd: u32) -> p1::Result {
        self.call(|ctx, memory| p1::fd_close(ctx, memory, fd))
    }

    pub(crate) fn write(&mut self, fd: u32, parts: &[&[u8]]) -> Result<u32, Error> {
        let (list, len) = self.buffers(parts);
        self.call(|ctx, memory| p1::fd_write(ctx, memory, fd, list, len, RESULT))?;
        Ok(self.result32())
    }

    pub(crate) fn pwrite(&mut self, fd: u32, part: &[u8], offset: u64) -> Result<u32, Error> {
        let (list, len) = self.buffers(&[part]);
        self.call(|ctx, memory| p1::fd_pwrite(ctx, memory, fd, list, len, offset, RESULT))?;
        Ok(self.result32())
    }

    pub(crate) fn read(&mut self, fd: u32, len: usize) -> Result<Vec<u8>, Error> {
        let (list, count) = self.buffers(&[&vec![0; len]]);
        self.call(|ctx, memory| p1::fd_read(ctx, memory, fd, list, count, RESULT))?;
        Ok(self.bytes[DATA as usize..][..self.result32() as usize].to_vec())
    }

    pub(crate) fn pread(&mut self, fd: u32, len: usize, offset: u64) -> Result<Vec<u8>, Error> {
        let (list, count) = self.buffers(&[&vec![0; len]]);
        self.call(|ctx, memory| p1::fd_pread(ctx, memory, fd, list, count, offset, RESULT))?;
        Ok(self.bytes[DATA as usize..][..self.result32() as usize].to_vec())
    }

    pub(crate) fn seek(&mut self, fd: u32, offset: i64, whence: u32) -> Result<u64, Error> {
        self.call(|ctx, memory| p1::fd_seek(ctx, memory, fd, offset.cast_unsigned(), whence, RESULT))?;
        Ok(u64::from_le_bytes(self.get(RESULT)))
    }

    pub(crate) fn tell(&mut self, fd: u32) -> Result<u64, Error> {
        self.call(|ctx, memory| p1::fd_tell(ctx, memory, fd, RESULT))?;
        Ok(u64::from_le_bytes(self.get(RESULT)))
    }

    pub(crate) fn mkdir(&mut self, dir: u32, path: &str) -> p1::Result {
        let len = self.path(path);
        self.call(|ctx, memory| p1::path_create_directory(ctx, memory, dir, PATH, len))
    }

    pub(crate) fn rmdir(&mut self, dir: u32, path: &str) -> p1::Result {
        let len = self.path(path);
        self.call(|ctx, memory| p1::path_remove_directory(ctx, memory, dir, PATH, len))
    }

    pub(crate) fn unlink(&mut self, dir: u32, path: &str) -> p1::Result {
        let len = self.path(path);
        self.call(|ctx, memory| p1::path_unlink_file(ctx, memory, dir, PATH, len))
    }

    pub(crate) fn symlink(&mut self, target: &str, dir: u32, path: &str) -> p1::Result {
        let (target_len, len) = (self.path2(target), self.path(path));
        self.call(|ctx, memory| p1::path_symlink(ctx, memory, PATH2, target_len, dir, PATH, len))
    }

    pub(crate) fn link(&mut self, dir: u32, flags: u32, from: &str, to_dir: u32, to: &str) -> p1::Result {
        let (from_len, to_len) = (self.path(from), self.path2(to));
        self.call(|ctx, memory| p1::path_link(ctx, memory, dir, flags, PATH, from_len, to_dir, PATH2, to_len))
    }

    pub(crate) fn rename(&mut self, dir: u32, from: &str, to_dir: u32, to: &str) -> p1::Result {
        let (from_len, to_len) = (self.path(from), self.path2(to));
        self.call(|ctx, memory| p1::path_rename(ctx, memory, dir, PATH, from_len, to_dir, PATH2, to_len))
    }

    pub(crate) fn readlink(&mut self, dir: u32, path: &str, room: u32) -> Result<Vec<u8>, Error> {
        let len = self.path(path);
        self.call(|ctx, memory| p1::path_readlink(ctx, memory, dir, PATH, len, DATA, room, RESULT))?;
        Ok(self.bytes[DATA as usize..][..self.result32() as usize].to_vec())
    }

    pub(crate) fn set_times(
        &mut self,
        dir: u32,
        lookup: u32,
        path: &str,
        times: (u64, u64),
        flags: u32,
    ) -> p1::Result {
        let len = self.path(path);
        self.call(|ctx, memory| {
            p1::path_filestat_set_times(ctx, memory, dir, lookup, PATH, len, times.0, times.1, flags)
        })
    }

    pub(crate) fn stat(&mut self, dir: u32, lookup: u32, path: &str) -> Result<Stat, Error> {
        let len = self.path(path);
        self.call(|ctx, memory| p1::path_filestat_get(ctx, memory, dir, lookup, PATH, len, RESULT))?;
        Ok(self.stat_result())
    }

    pub(crate) fn fstat(&mut self, fd: u32) -> Result<Stat, Error> {
        self.call(|ctx, memory| p1::fd_filestat_get(ctx, memory, fd, RESULT))?;
        Ok(self.stat_result())
    }

    fn stat_result(&self) -> Stat {
        let field = |at| u64::from_le_bytes(self.get(RESULT + at));
        Stat {
            inode: field(8),
            kind: self.get::<1>(RESULT + 16)[0],
            links: field(24),
            size: field(32),
            accessed: field(40),
            modified: field(48),
        }
    }

    /// Kind, flags, base rights, inheriting rights.
    pub(crate) fn fdstat(&mut self, fd: u32) -> Result<(u8, u16, u64, u64), Error> {
        self.call(|ctx, memory| p1::fd_fdstat_get(ctx, memory, fd, RESULT))?;
        let [kind] = self.get(RESULT);
        let flags = u16::from_le_bytes(self.get(RESULT + 2));
        let base = u64::from_le_bytes(self.get(RESULT + 8));
        Ok((kind, flags, base, u64::from_le_bytes(self.get(RESULT + 16))))
    }

    pub(crate) fn set_flags(&mut self, fd: u32, flags: u32) -> p1::Result {
        self.call(|ctx, memory| p1::fd_fdstat_set_flags(ctx, memory, fd, flags))
    }

    /// Reads entries into a buffer of `room` bytes, and returns them and the bytes used. A truncated
    /// last entry is left out.
    pub(crate) fn readdir(&mut self, fd: u32, room: u32, cookie: u64) -> Result<(Vec<Entry>, u32), Error> {
        self.call(|ctx, memory| p1::fd_readdir(ctx, memory, fd, DATA, room, cookie, RESULT))?;
        let used = self.result32();
        let mut rest = &self.bytes[DATA as usize..][..used as usize];
        let mut entries = vec![];
        while rest.len() >= 24 {
            let len = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
            let Some(name) = rest.get(24..24 + len) else { break };
            let field = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().unwrap());
            entries.push((field(0), field(8), rest[20], String::from_utf8(name.to_vec()).unwrap()));
            rest = &rest[24 + len..];
        }
        Ok((entries, used))
    }
}
