//! Files that no other process can change without our noticing.
//!
//! A read lease (`F_SETLEASE`, Linux) is granted while no process has the file open for writing. A process that opens
//! it for writing or truncates it afterwards waits until the lease is released, for at most
//! `/proc/sys/fs/lease-break-time` (45 seconds). Only the file's owner can take a lease, and not all file systems
//! support leases.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd};
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

/// A regular file under a read lease. Closed on drop.
#[derive(Debug)]
pub struct LeasedFile {
    /// Negative once closed.
    fd: AtomicI32,
    length: usize,
}

impl LeasedFile {
    /// Takes a lease on a file.
    ///
    /// # Errors
    ///
    /// Returns an error if the system grants no lease: the file is open for writing, belongs to another user, is not a
    /// regular file, or is on a file system without leases.
    pub fn new(file: &File) -> io::Result<Self> {
        // A duplicate descriptor keeps the lease when the caller closes its own.
        let file = file.try_clone()?;
        // When a process opens the file for writing, the kernel sends us a signal. Nothing waits for it; this one is
        // ignored by default.
        fcntl(&file, F_SETSIG, libc::SIGURG)?;
        fcntl(&file, libc::F_SETLEASE, libc::F_RDLCK)?;
        // Read the metadata under the lease, so that it cannot change.
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let length = usize::try_from(meta.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        Ok(Self { fd: AtomicI32::new(file.into_raw_fd()), length })
    }

    /// Returns the length of the file in bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Reads a range of the file.
    ///
    /// # Errors
    ///
    /// Returns an error if the range cannot be read.
    pub fn read(&self, range: Range<usize>) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; range.len()];
        self.read_into(range.start, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `bytes` from an offset of the file. Async-signal-safe. The caller ensures that the file is not closed
    /// meanwhile.
    pub(crate) fn read_into(&self, offset: usize, bytes: &mut [u8]) -> io::Result<()> {
        let fd = self.fd.load(SeqCst);
        if fd < 0 {
            return Err(io::ErrorKind::NotConnected.into());
        }
        // SAFETY: the descriptor is open, and stays open while the caller reads.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pread(fd, &mut bytes[done..], (offset + done) as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => done += read,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Returns whether another process waits to write to the file.
    pub(crate) fn is_break_requested(&self) -> bool {
        // SAFETY: a request without pointers, valid for any descriptor number.
        let lease = unsafe { libc::fcntl(self.fd.load(SeqCst), libc::F_GETLEASE) };
        lease != libc::F_RDLCK
    }

    /// Releases the lease and closes the file. Later reads fail.
    pub(crate) fn close(&self) {
        let fd = self.fd.swap(-1, SeqCst);
        if fd >= 0 {
            // SAFETY: the descriptor is ours and was open; after the swap nothing else uses it. The lease belongs to
            // the open file, which the caller of `new` may hold as well, so closing does not end it.
            unsafe {
                libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK);
                libc::close(fd);
            }
        }
    }
}

impl Drop for LeasedFile {
    fn drop(&mut self) {
        self.close();
    }
}

const F_SETSIG: libc::c_int = 10;

fn fcntl(file: &File, command: libc::c_int, argument: libc::c_int) -> io::Result<()> {
    // SAFETY: a request whose argument is a number.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
