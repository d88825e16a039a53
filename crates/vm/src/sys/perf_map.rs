//! The file in which `perf` looks up the names of code that no file contains: `/tmp/perf-PID.map`.

use super::profile_file;
use belljar_core::{Context, OutsideText};
use rustix::fs::OFlags;
use std::path::{Path, PathBuf};

/// Appends lines to this process's file, which is created if necessary and readable only by this user. Lines of several
/// threads do not mix.
///
/// # Errors
///
/// Returns an error if the file cannot be written, or does not belong to this user alone.
pub fn append_perf_map(lines: &str) -> belljar_core::Result<()> {
    let path = PathBuf::from(format!("/tmp/perf-{}.map", std::process::id()));
    append(&path, lines).with_context(|| format!("could not write {}", OutsideText::new(&path)))
}

fn append(path: &Path, lines: &str) -> belljar_core::Result<()> {
    let file = profile_file::open(path, OFlags::WRONLY | OFlags::APPEND)?;
    profile_file::write_all(&file, lines.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

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
