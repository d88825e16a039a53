//! The file in which `perf` looks up the names of code that is in no file: `/tmp/perf-PID.map`.
//!
//! Everybody may write to that directory, so somebody may have put something there under this name: links are not
//! followed, and what belongs to somebody else, or has another name as well, is left alone.

use anyhow::{Context, ensure};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// Adds lines to this process's file, which is made if need be, and which nobody but this user can read. Lines of
/// several threads do not mix.
///
/// # Errors
///
/// Where the file cannot be written, or is not this user's alone.
pub fn append_perf_map(lines: &str) -> anyhow::Result<()> {
    let path = PathBuf::from(format!("/tmp/perf-{}.map", std::process::id()));
    append(&path, lines).with_context(|| format!("could not write {}", path.display()))
}

fn append(path: &Path, lines: &str) -> anyhow::Result<()> {
    let for_appending = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
    // Opening a pipe would wait for its reader, opening a terminal could make it ours.
    let harmless = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, for_appending | harmless, Mode::RUSR | Mode::WUSR);
    let file = file.map_err(|error| match error {
        Errno::LOOP => anyhow::anyhow!("expected a regular file, found a symbolic link: remove it"),
        error => error.into(),
    })?;
    check(&rustix::fs::fstat(&file)?)?;
    let mut rest = lines.as_bytes();
    // The first write takes all, unless the disk is full.
    while !rest.is_empty() {
        match rustix::io::write(&file, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether it is a regular file that belongs to this user and is in no other place.
fn check(file: &Stat) -> anyhow::Result<()> {
    let is_regular = FileType::from_raw_mode(file.st_mode) == FileType::RegularFile;
    ensure!(is_regular, "expected a regular file, found something else: remove it");
    let ours = rustix::process::geteuid().as_raw();
    let theirs = file.st_uid;
    ensure!(theirs == ours, "expected a file of user {ours}, found one of user {theirs}: have it removed");
    let names = file.st_nlink;
    ensure!(names == 1, "expected a file of one name, found one of {names}: remove it from /tmp");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn refusal(path: &Path) -> String {
        append(path, "1 2 name\n").unwrap_err().to_string()
    }

    #[test]
    fn lines_are_added_to_a_private_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map");
        append(&path, "1000 10 one\n").unwrap();
        append(&path, "2000 20 two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1000 10 one\n2000 20 two\n");
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
        assert!(refusal(&path).contains("found one of 2"));
        fs::remove_file(&path).unwrap();

        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        // No reader: it cannot be opened. A reader: it is seen to be a pipe.
        append(&path, "1 2 name\n").unwrap_err();
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
        assert!(check(&found).unwrap_err().to_string().contains("expected a file of user"));
    }

    #[test]
    fn lines_of_several_threads_do_not_mix() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map");
        std::thread::scope(|scope| {
            for i in 0..4 {
                let path = &path;
                scope.spawn(move || append(path, &format!("{i}\n").repeat(10_000)).unwrap());
            }
        });
        let text = fs::read_to_string(&path).unwrap();
        let mut owners: Vec<&str> = text.lines().collect();
        owners.dedup();
        assert_eq!(owners.len(), 4);
    }
}
