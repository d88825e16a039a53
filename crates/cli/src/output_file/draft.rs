//! A file that is not complete yet: without a name if the file system supports that, so that nothing is left of it even
//! if the process is killed, otherwise with an unpredictable name.

use super::readers::Readers;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// How many names to try. If one is taken, another process guessed 128 bits, or controls the file system.
const MAX_TRIES: usize = 3;

/// A new file in a directory. Dropping it removes the file.
pub(super) struct Draft<'a> {
    file: File,
    directory: &'a OwnedFd,
    name: Option<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(directory: &'a OwnedFd, readers: Readers) -> io::Result<Self> {
        match Self::nameless(directory, readers) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
                Self::named(directory, readers)
            }
            made => Ok(made?),
        }
    }

    /// Creates a file without a name. It gets one through its entry in /proc.
    fn nameless(directory: &'a OwnedFd, readers: Readers) -> rustix::io::Result<Self> {
        if !Path::new("/proc/self/fd").exists() {
            return Err(Errno::OPNOTSUPP);
        }
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(directory, ".", flags, mode(readers))?;
        Ok(Self { file: file.into(), directory, name: None })
    }

    /// Creates a file with a new, unpredictable name.
    fn named(directory: &'a OwnedFd, readers: Readers) -> io::Result<Self> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        let (name, file) = with_unused_name(|name| openat(directory, name, flags, mode(readers)))?;
        Ok(Self { file: file.into(), directory, name: Some(name) })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Syncs the file and gives it its name, atomically replacing an existing file.
    pub(super) fn publish(mut self, name: &OsStr) -> io::Result<()> {
        self.file.sync_all()?;
        let draft = match self.name.take() {
            Some(draft) => draft,
            None => {
                let open = format!("/proc/self/fd/{}", self.file.as_fd().as_raw_fd());
                let link = |name: &str| linkat(CWD, &open, self.directory, name, AtFlags::SYMLINK_FOLLOW);
                with_unused_name(link)?.0
            }
        };
        let renamed = renameat(self.directory, &draft, self.directory, name);
        if renamed.is_err() {
            self.name = Some(draft);
        }
        Ok(renamed?)
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Another error is being reported already.
            let _ = unlinkat(self.directory, name, AtFlags::empty());
        }
    }
}

/// Returns the mode of a new file, before the umask is applied.
fn mode(readers: Readers) -> Mode {
    Mode::from_raw_mode(match readers {
        Readers::Usual => 0o666,
        Readers::Owner => 0o600,
    })
}

/// Calls `make` with unused names until one is free.
fn with_unused_name<T>(make: impl Fn(&str) -> rustix::io::Result<T>) -> io::Result<(String, T)> {
    for _ in 0..MAX_TRIES {
        let name = random_name()?;
        match make(&name) {
            Ok(made) => return Ok((name, made)),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::EXIST.into())
}

fn random_name() -> io::Result<String> {
    let mut random = [0; 16];
    let filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    if filled < random.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(format!(".belljar-{:032x}", u128::from_le_bytes(random)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    fn names(directory: &Path) -> Vec<String> {
        fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn both_ways_leave_one_file_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let directory = OwnedFd::from(File::open(dir.path()).unwrap());
        let ways: [fn(&OwnedFd) -> Draft<'_>; 2] = [
            |directory| Draft::new(directory, Readers::Owner).unwrap(),
            |directory| Draft::named(directory, Readers::Owner).unwrap(),
        ];
        for make in ways {
            fs::write(dir.path().join("out"), "old").unwrap();
            let draft = make(&directory);
            draft.file().write_all(b"given up").unwrap();
            drop(draft);
            assert_eq!(names(dir.path()), ["out"]);
            let draft = make(&directory);
            draft.file().write_all(b"new").unwrap();
            draft.publish(OsStr::new("out")).unwrap();
            assert_eq!(names(dir.path()), ["out"]);
            assert_eq!(fs::read(dir.path().join("out")).unwrap(), b"new");
            let mode = fs::metadata(dir.path().join("out")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            // A directory cannot be replaced, and the draft is removed.
            fs::create_dir(dir.path().join("folder")).unwrap();
            assert!(make(&directory).publish(OsStr::new("folder")).is_err());
            fs::remove_dir(dir.path().join("folder")).unwrap();
            assert_eq!(names(dir.path()), ["out"]);
        }
    }

    #[test]
    fn a_name_that_is_taken_is_not_used() {
        let taken = std::cell::Cell::new(0);
        let found = with_unused_name(|name| {
            taken.set(taken.get() + 1);
            if taken.get() < MAX_TRIES { Err(Errno::EXIST) } else { Ok(name.len()) }
        });
        assert_eq!(found.unwrap().1, ".belljar-".len() + 32);
        assert!(with_unused_name(|_| Err::<(), _>(Errno::EXIST)).is_err());
    }
}
