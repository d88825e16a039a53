//! Output files for the user: artifacts, snapshots, profiles, core dumps.
//!
//! ```text
//! absent, a regular file ─▶ Draft without a name ─▶ synced ─▶ the name, atomically
//! device, FIFO           ─▶ opened at the first byte, written directly
//! /dev/stdout, /dev/fd/N ─▶ the open file is continued at its position
//! a symbolic link        ─▶ is kept; its target is treated as above
//! ```
//!
//! On failure, an existing file is unchanged and no draft is left. Another process can never open an incomplete file or
//! put one in the way, and a device or FIFO is never replaced by a file.

mod draft;
mod readers;

use crate::output::timed_write;
use belljar::OutsideText;
use draft::Draft;
pub(crate) use readers::Readers;
use rustix::fs::{Access, CWD, Mode, OFlags, XattrFlags, access, fsetxattr, getxattr, openat};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Returns the message for a file that could not be written.
pub(crate) fn cannot_write(path: &Path) -> String {
    format!("could not write {}", OutsideText::new(path))
}

/// The number of links to follow: the kernel's limit.
const MAX_LINKS: usize = 40;

/// Refuses a file that could not be written, before time is spent on its contents. Changes nothing.
///
/// # Errors
///
/// Returns an error if its directory does not exist or is not writable, if it is itself a directory, or if it is not
/// writable.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    match Destination::find(path)? {
        Destination::Name { directory, .. } => Draft::new(&directory, Readers::Owner).map(drop),
        Destination::Open(_) => Ok(()),
        Destination::Special => Ok(access(path, Access::WRITE_OK)?),
    }
}

/// Refuses an output file that is the input file, under whatever names.
///
/// # Errors
///
/// Returns an error if `path` is the file `source`.
pub(crate) fn check_other_than(path: &Path, source: &Path) -> io::Result<()> {
    let is_same = |one: &Metadata, other: &Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    match (fs::metadata(path), fs::metadata(source)) {
        (Ok(output), Ok(input)) if output.is_file() && is_same(&output, &input) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "it is the file that was read: name another one with --output",
        )),
        _ => Ok(()),
    }
}

/// Writes a file: everything that `contents` writes, or nothing. Returns the result of `contents` and the number of
/// bytes.
///
/// A device, FIFO or open descriptor keeps the bytes written before an error.
///
/// # Errors
///
/// Returns the errors of `contents`, and an error if the file cannot be written.
pub(crate) fn write<R>(
    path: &Path,
    readers: Readers,
    contents: impl FnOnce(&mut dyn Write) -> io::Result<R>,
) -> io::Result<(R, u64)> {
    match Destination::find(path)? {
        Destination::Name { directory, name, old } => {
            let draft = Draft::new(&directory, readers)?;
            let written = fill(draft.file(), contents)?;
            if let Some(old) = old.filter(|_| readers == Readers::Usual) {
                keep_access(draft.file(), &old)?;
            }
            draft.publish(&name)?;
            Ok(written)
        }
        Destination::Open(file) => fill(TimedFile(file), contents),
        Destination::Special => {
            let mut target = LazyFile { path, file: None };
            let written = fill(&mut target, contents)?;
            // A reader of a FIFO waits for its end even if nothing is written.
            timed_write(|| target.open().map(drop))?;
            Ok(written)
        }
    }
}

/// Writes in large pieces. After an error, buffered bytes are not written.
fn fill<R>(
    target: impl Write,
    contents: impl FnOnce(&mut dyn Write) -> io::Result<R>,
) -> io::Result<(R, u64)> {
    let mut out = BufWriter::with_capacity(1 << 16, CountingWriter { target, bytes: 0 });
    let written = contents(&mut out).and_then(|result| out.flush().map(|()| result));
    let (CountingWriter { bytes, .. }, _) = out.into_parts();
    Ok((written?, bytes))
}

/// Gives a new file the owner, permissions and access list of the file that it replaces. Only root can change the
/// owner, so that may fail.
fn keep_access(new: &File, old: &ReplacedFile) -> io::Result<()> {
    let now = new.metadata()?;
    if (now.uid(), now.gid()) != old.owner {
        let (user, group) = old.owner;
        let _ = fchown(new, Some(user), Some(group));
    }
    new.set_permissions(fs::Permissions::from_mode(old.mode & 0o777))?;
    keep_access_list(new, &old.path)
}

/// The extended attribute that holds a file's access list.
const ACCESS_LIST: &CStr = c"system.posix_acl_access";

/// The kernel's limit for an attribute.
const MAX_ATTRIBUTE_BYTES: usize = 1 << 16;

/// Copies the access list of the replaced file, if there is one: without it, the group permissions have another
/// meaning.
fn keep_access_list(new: &File, old: &Path) -> io::Result<()> {
    let mut list = vec![0; MAX_ATTRIBUTE_BYTES];
    match getxattr(old, ACCESS_LIST, &mut list) {
        Ok(length) => Ok(fsetxattr(new, ACCESS_LIST, &list[..length], XattrFlags::empty())?),
        // It has none, its file system does not support them, or it no longer exists.
        Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS | Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The path, owner and mode of a file to be replaced.
struct ReplacedFile {
    path: PathBuf,
    owner: (u32, u32),
    mode: u32,
}

/// What a path refers to.
enum Destination {
    /// A name in a directory, which is free or that of a regular file.
    Name { directory: OwnedFd, name: OsString, old: Option<ReplacedFile> },
    /// A file that this process has open.
    Open(File),
    /// A device, FIFO or socket.
    Special,
}

impl Destination {
    fn find(path: &Path) -> io::Result<Self> {
        if let Some(number) = own_descriptor(path) {
            return Ok(Self::Open(open_descriptor(number)?));
        }
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if found.is_file() => {
                // A rename could replace the file anyway, but its owner made it read-only.
                access(path, Access::WRITE_OK)?;
                let path = fs::canonicalize(path)?;
                Self::in_directory(
                    &path,
                    Some(ReplacedFile {
                        path: path.clone(),
                        owner: (found.uid(), found.gid()),
                        mode: found.mode(),
                    }),
                )
            }
            Ok(_) => Ok(Self::Special),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::in_directory(&end_of_links(path)?, None)
            }
            Err(error) => Err(error),
        }
    }

    fn in_directory(path: &Path, old: Option<ReplacedFile>) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::NotFound)?;
        if path.as_os_str().as_bytes().ends_with(b"/") {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, directory_of(path), flags, Mode::empty())?;
        Ok(Self::Name { directory, name: name.into(), old })
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the target of a link; `None` if the path is not a link.
fn next_link(path: &Path) -> Option<PathBuf> {
    Some(directory_of(path).join(fs::read_link(path).ok()?))
}

/// Follows a chain of links. Returns the last target, which does not exist.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut end = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match next_link(&end) {
            Some(next) => end = next,
            None => return Ok(end),
        }
    }
    Err(Errno::LOOP.into())
}

/// Returns the number of this process's descriptor that a path like `/dev/stdout` or `/dev/fd/3` refers to, possibly
/// through links.
fn own_descriptor(path: &Path) -> Option<u32> {
    let tables = ["/proc/self/fd", "/proc/thread-self/fd"].map(|table| fs::canonicalize(table).ok());
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        let directory = fs::canonicalize(directory_of(&path)).ok();
        if directory.is_some() && tables.contains(&directory) {
            return path.file_name().and_then(OsStr::to_str)?.parse().ok();
        }
        path = next_link(&path)?;
    }
    None
}

/// Duplicates a descriptor, so that the file position is shared. For descriptors other than 1 and 2, opens the file
/// again in append mode.
fn open_descriptor(number: u32) -> io::Result<File> {
    if is_read_only(number) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is open for reading only"));
    }
    match number {
        1 => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
        2 => Ok(io::stderr().as_fd().try_clone_to_owned()?.into()),
        _ => OpenOptions::new().append(true).open(format!("/proc/self/fd/{number}")),
    }
}

/// Returns whether a descriptor was opened for reading only. Without /proc, the write will fail.
fn is_read_only(number: u32) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags =
        info.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    flags.is_some_and(|flags| OFlags::from_bits_retain(flags) & OFlags::ACCMODE == OFlags::RDONLY)
}

/// A device or FIFO that is opened at the first write.
struct LazyFile<'a> {
    path: &'a Path,
    file: Option<File>,
}

impl LazyFile<'_> {
    fn open(&mut self) -> io::Result<&mut File> {
        match &mut self.file {
            Some(file) => Ok(file),
            file => Ok(file.insert(OpenOptions::new().write(true).open(self.path)?)),
        }
    }
}

impl Write for LazyFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        timed_write(|| self.open()?.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file whose writes may block until a reader reads.
struct TimedFile(File);

impl Write for TimedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        timed_write(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts the bytes that are written.
struct CountingWriter<W> {
    target: W,
    bytes: u64,
}

impl<W: Write> Write for CountingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.target.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}
