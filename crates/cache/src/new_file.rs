//! A file on its way: written under a temporary name, complete and on the disk before it gets its real one.
//!
//! ```text
//! NewFile::write ──▶ .tmp-…, synced ──▶ publish: a new name, or an error if the name is taken
//!                                   └─▶ replace: the name, whoever had it
//! ```
//!
//! Both are single steps of the file system: whoever opens the name sees nothing, the old file or the whole
//! new one. A `NewFile` that is dropped on the way takes its temporary file with it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{hex, random};

/// How names of temporary files start. What a killed process left is found by it.
pub(crate) const TEMPORARY_PREFIX: &str = ".tmp-";

/// A complete file under a temporary name.
pub(crate) struct NewFile {
    path: PathBuf,
    renamed: bool,
}

impl NewFile {
    /// Writes `contents` to a file in `directory` with these mode bits, less the process's mask.
    pub(crate) fn write(directory: &Path, mode: u32, contents: &[u8]) -> io::Result<NewFile> {
        let path = directory.join(temporary_name()?);
        // `create_new` also refuses to follow a link that somebody put there.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        let new = NewFile { path, renamed: false };
        file.write_all(contents)?;
        // Without this a file could, after a power failure, have its name and not its contents.
        file.sync_all()?;
        Ok(new)
    }

    /// Gives the file a name that nothing has yet.
    ///
    /// # Errors
    /// `AlreadyExists` if something has it, and then that stays.
    pub(crate) fn publish(self, name: &Path) -> io::Result<()> {
        fs::hard_link(&self.path, name)
    }

    /// Gives the file a name, and takes it from whatever had it.
    pub(crate) fn replace(mut self, name: &Path) -> io::Result<()> {
        fs::rename(&self.path, name)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed now is removed as an old temporary file later.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A name that no other file has. The number makes it differ in this process, the process id tells people
/// whose it was, the random part makes it differ between machines and containers that share the directory.
pub(crate) fn temporary_name() -> io::Result<String> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let random = hex::encode(&random::bytes::<8>()?);
    Ok(format!("{TEMPORARY_PREFIX}{}-{number}-{random}", std::process::id()))
}

/// Waits until the names in a directory are on the disk.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The directory that a file's name is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap();
        names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_name_that_is_taken_stays() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("name");
        NewFile::write(dir.path(), 0o600, b"first").unwrap().publish(&name).unwrap();
        let second = NewFile::write(dir.path(), 0o600, b"second").unwrap();
        assert_eq!(second.publish(&name).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&name).unwrap(), b"first");
        assert_eq!(names(dir.path()), ["name"]);
    }

    #[test]
    fn replacing_leaves_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("name");
        for contents in [b"first".as_slice(), b"second"] {
            NewFile::write(dir.path(), 0o600, contents).unwrap().replace(&name).unwrap();
            assert_eq!(fs::read(&name).unwrap(), contents);
        }
        assert_eq!(names(dir.path()), ["name"]);
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(NewFile::write(dir.path(), 0o600, b"never named").unwrap());
        let new = NewFile::write(dir.path(), 0o600, b"for a place that is not there").unwrap();
        assert!(new.replace(&dir.path().join("missing/name")).is_err());
        assert!(names(dir.path()).is_empty());
    }
}
