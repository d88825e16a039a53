//! A new file: written under a temporary name, complete and synced before it gets its final name.
//!
//! ```text
//! NewFile::write ──▶ .tmp-…, synced ──▶ publish: a new name, or an error if the name is taken
//!                                   └─▶ replace: the name, in place of an existing file
//! ```
//!
//! Both are atomic operations of the file system: a process that opens the name sees no file, the old file or the
//! complete new one. Dropping an unnamed `NewFile` removes its temporary file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{hex, random};

/// The prefix of temporary file names, by which files that a killed process left are found.
pub(crate) const TEMPORARY_PREFIX: &str = ".tmp-";

/// A complete file under a temporary name.
pub(crate) struct NewFile {
    path: PathBuf,
    renamed: bool,
}

impl NewFile {
    /// Writes `contents` to a file in `directory` with these mode bits, less the process's umask.
    pub(crate) fn write(directory: &Path, mode: u32, contents: &[u8]) -> io::Result<NewFile> {
        let path = directory.join(temporary_name()?);
        // `create_new` also refuses to follow a symbolic link planted under this name.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        let new = NewFile { path, renamed: false };
        file.write_all(contents)?;
        // Without this, a power failure could leave the file with its name but without its contents.
        file.sync_all()?;
        Ok(new)
    }

    /// Gives the file a name that does not exist yet.
    ///
    /// # Errors
    /// Returns `AlreadyExists` if the name exists; the existing file is left unchanged.
    pub(crate) fn publish(self, name: &Path) -> io::Result<()> {
        fs::hard_link(&self.path, name)
    }

    /// Gives the file a name, atomically replacing any existing file of that name.
    pub(crate) fn replace(mut self, name: &Path) -> io::Result<()> {
        fs::rename(&self.path, name)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.renamed {
            // If this fails, the file is removed later, as an old temporary file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns a unique file name. The counter makes it unique within this process, the process id tells people which
/// process wrote it, and the random part makes it unique between machines and containers that share the directory.
pub(crate) fn temporary_name() -> io::Result<String> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let random = hex::encode(&random::bytes::<8>()?);
    Ok(format!("{TEMPORARY_PREFIX}{}-{number}-{random}", std::process::id()))
}

/// Waits until the entries of a directory are on disk.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Returns the directory that contains the file.
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
