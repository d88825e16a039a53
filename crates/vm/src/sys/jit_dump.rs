//! The file from which `perf inject --jit` takes code: `jit-PID.dump`, one per process.
//!
//! `perf record` notes which files a process maps as executable, and finds the dump that way: its first page is mapped
//! so, and never touched. The code that runs is elsewhere.

use super::{page_size, profile_file};
use crate::jit_dump::{CodePiece, Timestamp, add_close, add_code, header};
use belljar_core::{Context, OutsideText};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, TryLockError};

/// Bytes that are collected before they are written.
const CHUNK: usize = 1 << 20;

/// Appends code to this process's dump, which is created if necessary and readable only by this user. The dump lies in
/// the directory that `JITDUMPDIR` names, as those of perf's own agents and of LLVM do, otherwise in the current one.
/// It replaces a dump of the same name that an earlier process left. Records of several threads do not mix.
///
/// # Errors
///
/// Returns an error if the file cannot be written or mapped, or does not belong to this user alone.
pub fn append_jit_dump<'a>(pieces: impl IntoIterator<Item = CodePiece<'a>>) -> belljar_core::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    // Create the dump before the first timestamp is taken, so that the code is newer than the dump.
    append(&[])?;
    let mut records = Vec::new();
    for piece in pieces {
        add_code(&piece, NUMBER.fetch_add(1, Relaxed), timestamp(), &mut records);
        if records.len() >= CHUNK {
            append(&records)?;
            records.clear();
        }
    }
    append(&records)
}

/// The dump of this process.
struct Dump {
    process: u32,
    file: OwnedFd,
    /// The length in bytes; all of it is whole records.
    length: u64,
    is_closed: bool,
}

static DUMP: Mutex<Option<Dump>> = Mutex::new(None);

fn path() -> PathBuf {
    let dir = std::env::var_os("JITDUMPDIR").map(PathBuf::from).unwrap_or_default();
    dir.join(format!("jit-{}.dump", std::process::id()))
}

fn append(records: &[u8]) -> belljar_core::Result<()> {
    let mut dump = DUMP.lock().unwrap_or_else(PoisonError::into_inner);
    // A forked child starts a dump of its own.
    let dump = match &mut *dump {
        Some(dump) if dump.process == std::process::id() => dump,
        other => {
            let path = path();
            other.insert(
                Dump::new(&path).with_context(|| format!("could not create {}", OutsideText::new(&path)))?,
            )
        }
    };
    dump.append(records).with_context(|| format!("could not write jit-{}.dump", dump.process))
}

impl Dump {
    fn new(path: &std::path::Path) -> belljar_core::Result<Self> {
        let file = profile_file::open(path, OFlags::RDWR)?;
        // An existing file may be readable by others.
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        rustix::fs::ftruncate(&file, 0)?;
        let mut dump = Self { process: std::process::id(), file, length: 0, is_closed: false };
        dump.append(&header(timestamp()))?;
        dump.mark()?;
        static CLOSES: AtomicBool = AtomicBool::new(false);
        if !CLOSES.swap(true, Relaxed) {
            // SAFETY: the function has static lifetime and touches only statics. If it cannot be registered, the dump
            // has no last record, which readers do not need.
            unsafe { libc::atexit(close) };
        }
        Ok(dump)
    }

    /// Maps the first page for `perf record` to find.
    fn mark(&self) -> belljar_core::Result<()> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::EXEC, MapFlags::PRIVATE);
        // SAFETY: a new private mapping at an address of the kernel's choosing affects no existing memory. Its address
        // is dropped, so the contents of the file are neither read nor executed. The mapping stays, for tools that
        // attach to a running process.
        let mapped =
            unsafe { rustix::mm::mmap(ptr::null_mut(), page_size(), protection, flags, &self.file, 0) };
        mapped.context(
            "perf finds the file by an executable mapping, which its file system refuses: set JITDUMPDIR to another directory",
        )?;
        Ok(())
    }

    /// Appends whole records: all or none of them.
    fn append(&mut self, records: &[u8]) -> belljar_core::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        let written = profile_file::write_all(&self.file, records);
        match written {
            Ok(()) => self.length += records.len() as u64,
            // Records after a partial record would be unreadable.
            Err(_) => {
                rustix::fs::ftruncate(&self.file, self.length)?;
                rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Start(self.length))?;
            }
        }
        written
    }
}

/// Appends the last record when the process ends. Threads that still run then find the dump closed.
extern "C" fn close() {
    let mut dump = match DUMP.try_lock() {
        Ok(dump) => dump,
        Err(TryLockError::Poisoned(dump)) => dump.into_inner(),
        // Another thread is still writing. Closing the dump is not worth waiting for it.
        Err(TryLockError::WouldBlock) => return,
    };
    if let Some(dump) = dump.as_mut().filter(|dump| dump.process == std::process::id()) {
        let mut record = Vec::new();
        add_close(timestamp(), &mut record);
        let _ = dump.append(&record);
        dump.is_closed = true;
    }
}

fn timestamp() -> Timestamp {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Timestamp {
        process: std::process::id(),
        thread: rustix::thread::gettid().as_raw_nonzero().get() as u32,
        time: now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64,
    }
}
