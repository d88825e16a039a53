//! Files that nobody writes to without our knowing.
//!
//! A read lease (`F_SETLEASE`, Linux): it is given while nobody has the file open for writing, and whoever opens or
//! truncates it afterwards waits until the lease is given back, up to `/proc/sys/fs/lease-break-time`, 45 seconds. It is had
//! by the file's owner only, and not on every file system.

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
    /// Where the system gives none: somebody has the file open for writing, or it is another user's, no regular file, or
    /// on a file system without leases.
    pub fn new(file: &File) -> io::Result<Self> {
        // A descriptor of its own keeps the lease when the caller closes his.
        let file = file.try_clone()?;
        // Who opens the file for writing has a signal sent to us; nothing waits for it, and this one is ignored by all who
        // do not ask for it.
        fcntl(&file, F_SETSIG, libc::SIGURG)?;
        fcntl(&file, libc::F_SETLEASE, libc::F_RDLCK)?;
        // Under the lease, lest it change.
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let length = usize::try_from(meta.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        Ok(Self { fd: AtomicI32::new(file.into_raw_fd()), length })
    }

    /// Bytes of the file.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Some of its bytes.
    ///
    /// # Errors
    ///
    /// Where they cannot be read.
    pub fn read(&self, range: Range<usize>) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; range.len()];
        self.read_into(range.start, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `bytes` with those from an offset on. Async-signal-safe. Callers know that nobody closes the file meanwhile.
    pub(crate) fn read_into(&self, offset: usize, bytes: &mut [u8]) -> io::Result<()> {
        let fd = self.fd.load(SeqCst);
        if fd < 0 {
            return Err(io::ErrorKind::NotConnected.into());
        }
        // SAFETY: it is open, and stays so while the caller reads.
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

    /// Whether somebody waits to write to it.
    pub(crate) fn is_wanted(&self) -> bool {
        // SAFETY: a request without pointers, about whatever file this is.
        let lease = unsafe { libc::fcntl(self.fd.load(SeqCst), libc::F_GETLEASE) };
        lease != libc::F_RDLCK
    }

    /// Gives the lease back. Nobody reads afterwards.
    pub(crate) fn close(&self) {
        let fd = self.fd.swap(-1, SeqCst);
        if fd >= 0 {
            // SAFETY: the descriptor is ours and was open; the swap leaves it to nobody else. The lease belongs to the
            // open file, which the caller of `new` may hold as well: it does not end by closing.
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
