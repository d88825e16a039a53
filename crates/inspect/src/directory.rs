//! The runtime directory: a directory that only its user can enter, with a socket `PID.sock` for each process.
//!
//! In: environment variables, or a path. Out: a checked directory. A directory in which another user could have put
//! anything is never used.

use crate::peer::our_uid;
use belljar_core::OutsideText;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The variable that overrides the runtime directory.
pub const RUNTIME_DIRECTORY_VARIABLE: &str = "BELLJAR_RUNTIME_DIR";

/// The longest socket path: `sun_path` of `unix(7)`, without the terminating zero.
const MAX_SOCKET_PATH: usize = 107;

/// Mode bits that grant the group and other users any access.
const OTHERS_ANY: u32 = 0o077;

/// The directory of the sockets of one user's processes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuntimeDirectory {
    path: PathBuf,
    /// The user who must own it.
    owner: u32,
}

impl RuntimeDirectory {
    /// Returns the directory at a path, for this process's user. It is created when a socket is put there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), owner: our_uid() }
    }

    /// Returns the directory for this process's socket: `BELLJAR_RUNTIME_DIR`, otherwise `$XDG_RUNTIME_DIR/belljar`, or
    /// `/tmp/belljar-UID` if there is no such variable or the directory does not belong to this user.
    ///
    /// # Errors
    ///
    /// Returns an error if `BELLJAR_RUNTIME_DIR` is not an absolute path.
    pub fn of_process() -> io::Result<Self> {
        Self::choose(|name| std::env::var_os(name))
    }

    fn choose(variable: impl Fn(&str) -> Option<OsString>) -> io::Result<Self> {
        if let Some(named) = Self::named(&variable)? {
            return Ok(named);
        }
        let given = variable("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let ours = |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.is_dir() && m.uid() == our_uid());
        Ok(match given.filter(ours) {
            Some(given) => Self::at(given.join("belljar")),
            None => Self::in_tmp(),
        })
    }

    /// Returns the directory in `BELLJAR_RUNTIME_DIR`. An empty variable counts as unset.
    fn named(variable: impl Fn(&str) -> Option<OsString>) -> io::Result<Option<Self>> {
        match variable(RUNTIME_DIRECTORY_VARIABLE).filter(|text| !text.is_empty()).map(PathBuf::from) {
            None => Ok(None),
            Some(path) if path.is_absolute() => Ok(Some(Self::at(path))),
            Some(path) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "expected an absolute path in {RUNTIME_DIRECTORY_VARIABLE}, found `{}`",
                    OutsideText::new(&path)
                ),
            )),
        }
    }

    fn in_tmp() -> Self {
        Self::at(format!("/tmp/belljar-{}", our_uid()))
    }

    /// Returns every directory that may hold sockets accessible to this user, its own first: a process started by a
    /// service may lack the variable that a terminal session has. For root, includes those of all users. If
    /// `BELLJAR_RUNTIME_DIR` is set, it is the only one.
    ///
    /// # Errors
    ///
    /// Returns an error if `BELLJAR_RUNTIME_DIR` is not an absolute path.
    pub(crate) fn all() -> io::Result<Vec<Self>> {
        let variable = |name: &str| std::env::var_os(name);
        if let Some(named) = Self::named(variable)? {
            return Ok(vec![named]);
        }
        let mut all = vec![Self::choose(variable)?];
        all.push(Self::at(format!("/run/user/{}/belljar", our_uid())));
        all.push(Self::in_tmp());
        if our_uid() == crate::peer::ROOT {
            all.extend(
                user_directories("/run/user", "")
                    .map(|(path, owner)| Self { path: path.join("belljar"), owner }),
            );
            all.extend(user_directories("/tmp", "belljar-").map(|(path, owner)| Self { path, owner }));
        }
        let mut seen = std::collections::HashSet::new();
        all.retain(|directory| seen.insert(directory.path.clone()));
        Ok(all)
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the user who must own it.
    pub(crate) fn owner(&self) -> u32 {
        self.owner
    }

    /// Creates the directory if it is missing.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be created, or if the existing directory cannot be trusted.
    pub(crate) fn make(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                let text = format!("could not make the directory {}: {error}", OutsideText::new(&self.path));
                return Err(io::Error::new(error.kind(), text));
            }
            _ => {}
        }
        match self.exists()? {
            true => Ok(()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Returns whether the directory exists.
    ///
    /// # Errors
    ///
    /// Returns an error if what exists cannot be trusted.
    pub(crate) fn exists(&self) -> io::Result<bool> {
        let found = match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            found => found,
        };
        let checked = match found {
            Ok(found) => self.check(&found),
            Err(error) => Err(error.to_string()),
        };
        checked.map(|()| true).map_err(|problem| {
            let text = format!(
                "the directory {} cannot be used: {problem}: put this right, or name another one in {RUNTIME_DIRECTORY_VARIABLE}",
                OutsideText::new(&self.path)
            );
            io::Error::new(io::ErrorKind::PermissionDenied, text)
        })
    }

    /// Checks the metadata, read without following a link: the directory must exclude all users but its owner.
    fn check(&self, found: &Metadata) -> Result<(), String> {
        if found.is_symlink() {
            return Err("it is a symbolic link".into());
        }
        if !found.is_dir() {
            return Err("it is not a directory".into());
        }
        if found.uid() != self.owner {
            return Err(format!("it belongs to user {}, not to user {}", found.uid(), self.owner));
        }
        match found.mode() & 0o7777 {
            mode if mode & OTHERS_ANY == 0 => Ok(()),
            mode => Err(format!("other users can enter it (mode {mode:04o}, expected 0700)")),
        }
    }

    /// Returns the path of a process's socket.
    ///
    /// # Errors
    ///
    /// Returns an error if the path is too long for a socket.
    pub(crate) fn socket(&self, pid: u32) -> io::Result<PathBuf> {
        let path = self.path.join(format!("{pid}.sock"));
        match path.as_os_str().len() {
            0..=MAX_SOCKET_PATH => Ok(path),
            bytes => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "expected the path of a socket to have at most {MAX_SOCKET_PATH} bytes, {} has {bytes}: name another directory \
                     in {RUNTIME_DIRECTORY_VARIABLE}",
                    OutsideText::new(&path)
                ),
            )),
        }
    }

    /// Returns whether the path is a socket that the directory's owner created.
    pub(crate) fn has_socket(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket() && m.uid() == self.owner)
    }

    /// Returns the processes that have a socket here, alive or not.
    ///
    /// # Errors
    ///
    /// Returns an error if the directory cannot be trusted or read. A missing directory is empty.
    pub(crate) fn pids(&self) -> io::Result<Vec<u32>> {
        if !self.exists()? {
            return Ok(Vec::new());
        }
        let names = fs::read_dir(&self.path)?.filter_map(|entry| Some(entry.ok()?.file_name()));
        Ok(names.filter_map(|name| pid_of(&name)).collect())
    }
}

/// Returns the process id in a socket's name, `PID.sock`.
fn pid_of(name: &OsStr) -> Option<u32> {
    number(name.as_bytes().strip_suffix(b".sock")?)
}

/// Parses a decimal number without sign or leading zeros.
fn number(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

/// Returns the entries of a folder that are named after a user id, with that id.
fn user_directories(folder: &str, prefix: &str) -> impl Iterator<Item = (PathBuf, u32)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let name = entry.file_name();
        Some((entry.path(), number(name.as_bytes().strip_prefix(prefix.as_bytes())?)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    fn from<'a>(variables: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + Copy + 'a {
        move |name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into())
    }

    #[test]
    fn variables_decide_where_it_is() {
        let home = tempfile::tempdir().unwrap();
        let xdg = home.path().to_str().unwrap();
        let path = |variables: &[(&str, &str)]| RuntimeDirectory::choose(from(variables)).unwrap().path;
        let fallback = PathBuf::from(format!("/tmp/belljar-{}", our_uid()));
        assert_eq!(path(&[]), fallback);
        assert_eq!(path(&[("XDG_RUNTIME_DIR", "/not/there"), ("BELLJAR_RUNTIME_DIR", "")]), fallback);
        assert_eq!(path(&[("XDG_RUNTIME_DIR", xdg)]), home.path().join("belljar"));
        assert_eq!(path(&[("XDG_RUNTIME_DIR", xdg), ("BELLJAR_RUNTIME_DIR", "/a/b")]), Path::new("/a/b"));
        let relative = RuntimeDirectory::choose(from(&[("BELLJAR_RUNTIME_DIR", "here")]));
        assert!(relative.unwrap_err().to_string().contains("absolute path in BELLJAR_RUNTIME_DIR"));
    }

    #[test]
    fn it_is_made_for_its_user_alone() {
        let home = tempfile::tempdir().unwrap();
        let directory = RuntimeDirectory::at(home.path().join("belljar"));
        assert!(directory.pids().unwrap().is_empty());
        assert!(!directory.exists().unwrap(), "looking makes nothing");
        for _ in 0..2 {
            directory.make().unwrap();
            assert_eq!(fs::metadata(directory.path()).unwrap().mode() & 0o7777, 0o700);
        }
        assert!(RuntimeDirectory::at(home.path().join("a/b")).make().is_err(), "no parent is made");
    }

    #[test]
    fn what_others_could_have_made_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let (open, link, file) =
            (home.path().join("open"), home.path().join("link"), home.path().join("file"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o750)).unwrap();
        fs::create_dir(home.path().join("real")).unwrap();
        fs::set_permissions(home.path().join("real"), fs::Permissions::from_mode(0o700)).unwrap();
        symlink(home.path().join("real"), &link).unwrap();
        fs::write(&file, "").unwrap();
        let message = |path: &Path| {
            let directory = RuntimeDirectory::at(path);
            let message = directory.make().unwrap_err().to_string();
            assert_eq!(directory.pids().unwrap_err().to_string(), message);
            assert!(message.contains("or name another one in BELLJAR_RUNTIME_DIR"), "{message}");
            message
        };
        assert!(message(&open).contains("other users can enter it (mode 0750"));
        assert!(message(&link).contains("symbolic link"));
        assert!(message(&file).contains("not a directory"));
    }

    #[test]
    fn another_users_directory_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("belljar");
        let directory = RuntimeDirectory { path: path.clone(), owner: our_uid() + 1 };
        fs::create_dir(&path).unwrap();
        assert!(directory.make().unwrap_err().to_string().contains("it belongs to user"));
        // Only root can create a directory that belongs to another user.
        if chown(&path, Some(our_uid() + 1), None).is_ok() {
            assert!(
                RuntimeDirectory::at(&path).make().unwrap_err().to_string().contains("it belongs to user")
            );
        }
    }

    #[test]
    fn names_are_numbers_as_they_are_printed() {
        let pid = |name: &str| pid_of(OsStr::new(name));
        assert_eq!(pid("1.sock"), Some(1));
        assert_eq!(pid("4194304.sock"), Some(4_194_304));
        for other in ["", ".sock", "+1.sock", "01.sock", "-1.sock", "1.sock2", "99999999999.sock", "1"] {
            assert_eq!(pid(other), None, "{other}");
        }
    }

    #[test]
    fn a_long_path_is_told() {
        let directory = |bytes: usize| RuntimeDirectory::at(format!("/{}", "x".repeat(bytes - 1)));
        assert!(directory(MAX_SOCKET_PATH - "/12.sock".len()).socket(12).is_ok());
        let message = directory(MAX_SOCKET_PATH - "/12.sock".len() + 1).socket(12).unwrap_err().to_string();
        assert!(message.contains("at most 107 bytes") && message.contains("has 108"), "{message}");
    }
}
