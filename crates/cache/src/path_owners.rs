//! Which other users control where a path leads.
//!
//! In: a path. Out: the first directory or symbolic link along it that another user could change so that the path leads
//! elsewhere, and why. The rule is that of `StrictModes` in OpenSSH's sshd(8): every directory from the root on must be
//! owned by this user or root and be writable by no one else. There is one difference: in a directory with the sticky
//! bit, such as `/tmp`, other users can create new names, but cannot move files of this user, so it is accepted. Links
//! are followed as the kernel follows them, and the directories that contain links are checked as well.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

use belljar_core::OutsideText;

use crate::access;

/// The number of links that the kernel follows.
const MAX_LINKS: usize = 40;

/// The reason why a path is rejected.
#[derive(Debug)]
pub(crate) enum PathError {
    /// Another user could make it lead elsewhere.
    ControlledByOthers { path: PathBuf, why: String },
    /// It could not be examined.
    Io { path: PathBuf, error: io::Error },
}

impl From<PathError> for io::Error {
    fn from(doubt: PathError) -> Self {
        let (kind, path, why) = match doubt {
            PathError::ControlledByOthers { path, why } => (io::ErrorKind::PermissionDenied, path, why),
            PathError::Io { path, error } => (error.kind(), path, error.to_string()),
        };
        Self::new(kind, format!("{}: {why}", OutsideText::new(&path)))
    }
}

/// Checks that only this user and root control where a path leads. Components that do not exist yet are ignored.
pub(crate) fn check_path(path: &Path) -> Result<(), PathError> {
    walk(path, |path, found| {
        check_owner(path, found)?;
        let advice = |why| format!("{why}: run `chmod go-w {}`", OutsideText::new(path));
        access::require_not_movable_by_others(found)
            .map_err(|why| PathError::ControlledByOthers { path: path.into(), why: advice(why) })
    })
}

/// Checks that all directories and links along a path belong to this user or root, so that creating something there
/// does not create it in another user's place.
pub(crate) fn check_owners(path: &Path) -> Result<(), PathError> {
    walk(path, check_owner)
}

fn check_owner(path: &Path, found: &Metadata) -> Result<(), PathError> {
    access::require_own_or_root(found).map_err(|why| PathError::ControlledByOthers { path: path.into(), why })
}

/// Resolves a path as the kernel does, and checks each directory along it.
fn walk(
    path: &Path,
    check_directory: impl Fn(&Path, &Metadata) -> Result<(), PathError>,
) -> Result<(), PathError> {
    let absolute = std::path::absolute(path).map_err(|error| PathError::Io { path: path.into(), error })?;
    let mut left: VecDeque<OsString> = VecDeque::new();
    push(&mut left, &absolute);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    let root = fs::metadata(&at).map_err(|error| PathError::Io { path: at.clone(), error })?;
    check_directory(&at, &root)?;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        let found = match fs::symlink_metadata(&next) {
            Ok(found) => found,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(PathError::Io { path: next, error }),
        };
        if found.is_symlink() {
            links += 1;
            // A loop of links is reported when the path is opened.
            if links > MAX_LINKS {
                return Ok(());
            }
            check_owner(&next, &found)?;
            let target = fs::read_link(&next).map_err(|error| PathError::Io { path: next, error })?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            push(&mut left, &target);
        } else if found.is_dir() {
            check_directory(&next, &found)?;
            at = next;
        } else {
            return Ok(());
        }
    }
    Ok(())
}

/// Puts the components of a path in front of those left to resolve.
fn push(left: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => left.push_front(name.into()),
            Component::ParentDir => left.push_front(OsStr::new("..").into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Returns the path that is rejected, relative to the directory.
    fn rejected(dir: &Path, path: &str) -> Option<PathBuf> {
        match check_path(&dir.join(path)) {
            Ok(()) => None,
            Err(PathError::ControlledByOthers { path, .. }) => Some(path.strip_prefix(dir).unwrap().into()),
            Err(PathError::Io { path, error }) => panic!("{}: {error}", OutsideText::new(&path)),
        }
    }

    #[test]
    fn every_directory_on_the_way_counts() {
        let dir = tempfile::tempdir().unwrap();
        let dir = &fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(dir.join("a/b/c")).unwrap();
        fs::create_dir_all(dir.join("links")).unwrap();
        symlink("../a/b", dir.join("links/relative")).unwrap();
        symlink(dir.join("a"), dir.join("links/absolute")).unwrap();
        symlink("circle", dir.join("links/circle")).unwrap();
        let ways = ["a/b/c", "links/relative/c", "links/absolute/b/c", "a/b/../b/c", "a/b/c/missing/below"];
        for way in ways {
            assert_eq!(rejected(dir, way), None, "{way}");
        }
        assert_eq!(rejected(dir, "links/circle/x"), None);
        set_mode(&dir.join("a/b"), 0o770);
        for way in ways {
            assert_eq!(rejected(dir, way), Some("a/b".into()), "{way}");
        }
        set_mode(&dir.join("a/b"), 0o1777);
        set_mode(&dir.join("links"), 0o757);
        for way in ways {
            let expected = way.starts_with("links").then(|| "links".into());
            assert_eq!(rejected(dir, way), expected, "{way}");
        }
    }
}
