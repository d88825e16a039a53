//! Files for profilers. Their names can be guessed, so another user may have created something under the name. Symbolic
//! links are not followed, and a file that belongs to another user or has a second name is refused.

use belljar_core::ensure;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::path::Path;

/// Opens a file. If it does not exist, it is created readable only by this user.
///
/// # Errors
///
/// Returns an error if that fails, or if the file does not belong to this user alone.
pub(super) fn open(path: &Path, access: OFlags) -> belljar_core::Result<OwnedFd> {
    // Opening a pipe would wait for its reader; opening a terminal could make it our controlling terminal.
    let harmless = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, access | OFlags::CREATE | harmless, Mode::RUSR | Mode::WUSR);
    let file = file.map_err(|error| match error {
        Errno::LOOP => belljar_core::format_err!("expected a regular file, found a symbolic link: remove it"),
        error => error.into(),
    })?;
    check(&rustix::fs::fstat(&file)?)?;
    Ok(file)
}

/// Checks that it is a regular file that belongs to this user and has no other name.
fn check(file: &Stat) -> belljar_core::Result<()> {
    let is_regular = FileType::from_raw_mode(file.st_mode) == FileType::RegularFile;
    ensure!(is_regular, "expected a regular file, found something else: remove it");
    let ours = rustix::process::geteuid().as_raw();
    let theirs = file.st_uid;
    ensure!(
        theirs == ours,
        "expected a file owned by user {ours}, found one owned by user {theirs}: have it removed"
    );
    let names = file.st_nlink;
    ensure!(names == 1, "expected a file with one name, found one with {names}: remove it");
    Ok(())
}

/// Writes bytes at the file's current position. If the file is opened for appending, those of several threads do not
/// mix.
///
/// # Errors
///
/// Returns an error if not all of them could be written.
pub(super) fn write_all(file: impl AsFd, mut bytes: &[u8]) -> belljar_core::Result<()> {
    // The first write takes all bytes, unless the disk is full.
    while !bytes.is_empty() {
        match rustix::io::write(&file, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn refusal(path: &Path) -> String {
        open(path, OFlags::WRONLY).unwrap_err().to_string()
    }

    #[test]
    fn a_new_file_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map");
        write_all(open(&path, OFlags::WRONLY).unwrap(), b"one").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn whatever_else_has_the_name_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mine) = (dir.path().join("map"), dir.path().join("mine"));
        fs::write(&mine, "precious").unwrap();

        std::os::unix::fs::symlink(&mine, &path).unwrap();
        assert!(refusal(&path).contains("found a symbolic link"), "{}", refusal(&path));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(dir.path().join("absent"), &path).unwrap();
        assert!(refusal(&path).contains("found a symbolic link"));
        assert!(!dir.path().join("absent").exists());
        fs::remove_file(&path).unwrap();

        fs::hard_link(&mine, &path).unwrap();
        assert!(refusal(&path).contains("found one with 2"));
        fs::remove_file(&path).unwrap();

        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        // Without a reader, the pipe cannot be opened. With one, it is recognized as a pipe.
        open(&path, OFlags::WRONLY).unwrap_err();
        let reader = OFlags::RDONLY | OFlags::NONBLOCK;
        let _reader = rustix::fs::open(&path, reader, Mode::empty()).unwrap();
        assert!(refusal(&path).contains("expected a regular file"));
        assert_eq!(fs::read_to_string(&mine).unwrap(), "precious");
    }

    #[test]
    fn the_file_of_another_user_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map");
        fs::write(&path, "").unwrap();
        let mut found = rustix::fs::stat(&path).unwrap();
        assert!(check(&found).is_ok());
        found.st_uid += 1;
        assert!(check(&found).unwrap_err().to_string().contains("expected a file owned by user"));
    }
}
