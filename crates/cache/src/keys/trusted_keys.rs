//! The list of trusted public keys: `trusted-keys` in the user's configuration directory.
//!
//! The list has one key per line, in the form of `.pub` files. Empty lines, and lines that start with `#`, are ignored.
//! The file is edited by hand or by [`TrustedKeys::add`], which preserves the existing text.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use belljar_core::OutsideText;
use rustix::fs::OFlags;

use super::key_error::{KeyError, io_error, malformed, refused};
use super::key_file::{open, read_up_to};
use super::named_key::NamedKey;
use super::public_key::PublicKey;
use crate::access;
use crate::new_file::{NewFile, directory_of};
use crate::path_owners::{PathError, check_path};
use crate::private_directory::make_private_directory;

/// The name of the file that lists trusted keys.
pub const TRUSTED_KEYS_FILE: &str = "trusted-keys";

/// The largest list, some ten thousand keys: more than any person maintains.
const MAX_LIST_BYTES: u64 = 1 << 20;

/// How long to wait for another process that changes the list, which takes milliseconds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Locks a directory, or fails if another process holds the lock for too long.
fn lock_with_timeout(directory: &File, patience: Duration) -> io::Result<()> {
    let end = Instant::now() + patience;
    loop {
        match directory.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(LOCK_TIMEOUT / 500),
            Err(TryLockError::WouldBlock) => {
                let why = format!(
                    "another process has held its lock for {patience:?}: try again when it has ended"
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
        }
    }
}

/// The trusted keys. By default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedKeys {
    keys: Vec<NamedKey>,
}

impl TrustedKeys {
    /// Reads the list in `directory`, [usually](crate::config_directory) the user's configuration directory. If there
    /// is no file, no key is trusted.
    ///
    /// # Errors
    /// Returns [`KeyError::Refused`] if other users can change or replace the file, [`KeyError::Malformed`] with the line number if a
    /// line is not a key, and [`KeyError::Io`] if the file cannot be read.
    pub fn load(directory: &Path) -> Result<TrustedKeys, KeyError> {
        let path = directory.join(TRUSTED_KEYS_FILE);
        TrustedKeys::parse(&path, &read_list(&path)?)
    }

    /// Adds a key to the list in `directory`, creating both if they are missing. Returns whether the key is new: an
    /// entry that is already on the list stays unchanged.
    ///
    /// # Errors
    /// Returns the errors of [`TrustedKeys::load`], even if there is no list yet, and [`KeyError::Io`] if the list cannot be written;
    /// the list is then unchanged.
    pub fn add(directory: &Path, key: &NamedKey) -> Result<bool, KeyError> {
        check_path_owners(directory)?;
        make_private_directory(directory).map_err(io_error("make the directory", directory))?;
        // Without the lock, two concurrent additions would start from the same list, and one would be lost. Closing the
        // file handle releases the lock.
        let lock = File::open(directory).map_err(io_error("open", directory))?;
        lock_with_timeout(&lock, LOCK_TIMEOUT).map_err(io_error("lock", directory))?;
        let path = list_path(directory)?;
        // Checked even if there is no list yet: a list that would later be refused must not be written.
        check_not_replaceable(&directory.join(TRUSTED_KEYS_FILE))?;
        let mut text = read_list(&path)?;
        if TrustedKeys::parse(&path, &text)?.contains(&key.key()) {
            return Ok(false);
        }
        if text.last().is_some_and(|byte| *byte != b'\n') {
            text.push(b'\n');
        }
        text.extend_from_slice(format!("{key}\n").as_bytes());
        NewFile::write(directory_of(&path), 0o644, &text)
            .and_then(|new| new.replace(&path))
            .map_err(io_error("write", &path))?;
        Ok(true)
    }

    /// Whether `key` is on the list.
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.get(key).is_some()
    }

    /// Returns the entry of `key`.
    pub fn get(&self, key: &PublicKey) -> Option<&NamedKey> {
        self.keys.iter().find(|named| named.key() == *key)
    }

    /// Returns all keys, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = &NamedKey> {
        self.keys.iter()
    }

    fn parse(path: &Path, text: &[u8]) -> Result<TrustedKeys, KeyError> {
        // Invalid UTF-8 becomes a character that no key contains; in comments and names it does no harm.
        let text = String::from_utf8_lossy(text);
        let lines = text.lines().map(str::trim).enumerate();
        lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(i, line)| line.parse::<NamedKey>().map_err(malformed(path, Some(i + 1))))
            .collect()
    }
}

/// If a key appears twice, the first entry is kept.
impl FromIterator<NamedKey> for TrustedKeys {
    fn from_iter<I: IntoIterator<Item = NamedKey>>(keys: I) -> Self {
        let mut trusted = TrustedKeys::default();
        for key in keys {
            if !trusted.contains(&key.key()) {
                trusted.keys.push(key);
            }
        }
        trusted
    }
}

/// Reads the list; it is empty if there is no file.
fn read_list(path: &Path) -> Result<Vec<u8>, KeyError> {
    let file = match open(path, OFlags::empty()) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io_error("open", path)(e)),
    };
    let found = file.metadata().map_err(io_error("examine", path))?;
    let advice =
        format!("read it, then make it yours: `chown $USER {0}; chmod go-w {0}`", OutsideText::new(path));
    access::require_writable_by_owner_only(&found).map_err(refused(path, &advice))?;
    check_not_replaceable(path)?;
    let text = read_up_to(file, MAX_LIST_BYTES).map_err(io_error("read", path))?;
    if text.len() as u64 > MAX_LIST_BYTES {
        let why = format!("expected a list of at most {MAX_LIST_BYTES} bytes, found {} bytes", found.len());
        return Err(refused(path, "remove what is not needed")(why));
    }
    Ok(text)
}

/// Refuses a list that other users could replace, by hard-linking or renaming another file of this user to its name in
/// a directory that they can write.
fn check_not_replaceable(path: &Path) -> Result<(), KeyError> {
    check_path_owners(path)?;
    let real = match fs::canonicalize(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        real => real.map_err(io_error("find", path))?,
    };
    for place in [directory_of(path), directory_of(&real)] {
        let found = fs::metadata(place).map_err(io_error("examine", place))?;
        let advice = format!("run `chmod go-w {}`", OutsideText::new(place));
        access::require_not_writable_by_others(&found).map_err(refused(place, &advice))?;
    }
    Ok(())
}

fn check_path_owners(path: &Path) -> Result<(), KeyError> {
    check_path(path).map_err(|doubt| match doubt {
        PathError::ControlledByOthers { path, why } => KeyError::Refused { path, why },
        PathError::Io { path, error } => io_error("examine", &path)(error),
    })
}

/// Returns the real path of the list. If the list is a symbolic link, for example into a directory of dotfiles, the
/// link is preserved.
fn list_path(directory: &Path) -> Result<PathBuf, KeyError> {
    let path = directory.join(TRUSTED_KEYS_FILE);
    match fs::canonicalize(&path) {
        Ok(real) => Ok(real),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(path),
        Err(e) => Err(io_error("find", &path)(e)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;
    use crate::keys::SigningKey;

    fn key(seed: u8, name: &str) -> NamedKey {
        SigningKey::from_seed([seed; 32]).public().named(name).unwrap()
    }

    fn list(directory: &Path, text: impl AsRef<[u8]>) -> PathBuf {
        let path = directory.join(TRUSTED_KEYS_FILE);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    #[test]
    fn no_file_is_an_empty_list() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(TrustedKeys::load(dir.path()).unwrap(), TrustedKeys::default());
        assert_eq!(TrustedKeys::load(&dir.path().join("none")).unwrap().iter().count(), 0);
    }

    #[test]
    fn comments_empty_lines_and_line_ends_of_any_kind_are_fine() {
        let dir = tempfile::tempdir().unwrap();
        let (ada, grace) = (key(1, "ada"), key(2, ""));
        list(dir.path(), format!("# people\r\n\r\n  {ada}\r\n\t# {grace}\n{grace}\n{}", key(1, "again")));
        let trusted = TrustedKeys::load(dir.path()).unwrap();
        assert_eq!(trusted.iter().collect::<Vec<_>>(), [&ada, &grace]);
        assert_eq!(trusted.get(&ada.key()).unwrap().name(), "ada");
        assert!(!trusted.contains(&key(3, "").key()));
        let mut latin = b"# gr\xfc\xdfe\n".to_vec();
        latin.extend_from_slice(ada.to_string().as_bytes());
        list(dir.path(), latin);
        assert_eq!(TrustedKeys::load(dir.path()).unwrap().iter().count(), 1);
    }

    #[test]
    fn a_lock_that_is_held_is_not_waited_for_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::open(dir.path()).unwrap();
        let (held, wanted) = (open(), open());
        lock_with_timeout(&held, Duration::ZERO).unwrap();
        let error = lock_with_timeout(&wanted, Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("another process has held its lock for 20ms"), "{error}");
        drop(held);
        lock_with_timeout(&wanted, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_bad_line_is_an_error_with_its_number() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["nonsense", "belljar-public-key v1 00", "belljar-public-key", "\u{1}"] {
            list(dir.path(), format!("# one\n{}\n{bad}\n", key(1, "ada")));
            let error = TrustedKeys::load(dir.path()).unwrap_err();
            assert!(matches!(&error, KeyError::Malformed { line: Some(3), .. }), "{error}");
            assert!(error.to_string().contains("trusted-keys, line 3: "), "{error}");
            // Nothing is added to a malformed list.
            assert!(TrustedKeys::add(dir.path(), &key(2, "grace")).is_err());
        }
    }

    #[test]
    fn a_list_that_others_can_change_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = list(dir.path(), "");
        for mode in [0o664, 0o646] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = TrustedKeys::load(dir.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("mode {mode:04o}")) && error.contains("chmod go-w"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        if chown(&path, Some(12345), None).is_ok() {
            let error = TrustedKeys::load(dir.path()).unwrap_err().to_string();
            assert!(error.contains("belongs to user 12345"), "{error}");
        } else {
            eprintln!("skipped: only root can give files away");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(TrustedKeys::load(dir.path()), Err(KeyError::Refused { .. })));
    }

    #[test]
    fn a_list_in_a_directory_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (config, dotfiles) = (dir.path().join("above/config"), dir.path().join("dotfiles"));
        fs::create_dir_all(&config).unwrap();
        fs::create_dir(&dotfiles).unwrap();
        list(&config, key(1, "ada").to_string());
        let set_mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let empty = dir.path().join("empty");
        fs::create_dir(&empty).unwrap();
        set_mode(&empty, 0o777);
        assert!(matches!(TrustedKeys::add(&empty, &key(2, "")), Err(KeyError::Refused { .. })));
        assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
        assert_eq!(TrustedKeys::load(&empty).unwrap(), TrustedKeys::default());
        let refused = |place: &Path, mode: u32| {
            set_mode(place, mode);
            let error = TrustedKeys::load(&config).unwrap_err();
            assert!(matches!(&error, KeyError::Refused { path, .. } if path == place), "{error}");
            let text = error.to_string();
            assert!(text.contains("chmod go-w") && text.contains(&format!("mode {mode:04o}")), "{text}");
            // Nothing is added to it either.
            assert!(matches!(TrustedKeys::add(&config, &key(2, "")), Err(KeyError::Refused { .. })));
            set_mode(place, 0o755);
            TrustedKeys::load(&config).unwrap();
        };
        for mode in [0o775, 0o757, 0o1777] {
            refused(&config, mode);
        }
        refused(config.parent().unwrap(), 0o775);
        // In a sticky directory such as /tmp, other users cannot move this user's files.
        set_mode(config.parent().unwrap(), 0o1777);
        TrustedKeys::load(&config).unwrap();
        set_mode(config.parent().unwrap(), 0o755);
        fs::rename(config.join(TRUSTED_KEYS_FILE), dotfiles.join("keys")).unwrap();
        symlink(dotfiles.join("keys"), config.join(TRUSTED_KEYS_FILE)).unwrap();
        let real = fs::canonicalize(&dotfiles).unwrap();
        refused(&real, 0o775);
        refused(&real, 0o1777);
    }

    #[test]
    fn a_list_of_any_length_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        list(dir.path(), vec![b'#'; MAX_LIST_BYTES as usize]);
        TrustedKeys::load(dir.path()).unwrap();
        list(dir.path(), vec![b'#'; MAX_LIST_BYTES as usize + 1]);
        assert!(matches!(TrustedKeys::load(dir.path()), Err(KeyError::Refused { .. })));
    }

    #[test]
    fn adding_keeps_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config/belljar");
        let (ada, grace) = (key(1, "ada"), key(2, "grace"));
        assert!(TrustedKeys::add(&config, &ada).unwrap());
        assert!(!TrustedKeys::add(&config, &key(1, "another name")).unwrap());
        list(&config, format!("# mine\n{ada}"));
        assert!(TrustedKeys::add(&config, &grace).unwrap());
        let text = fs::read_to_string(config.join(TRUSTED_KEYS_FILE)).unwrap();
        assert_eq!(text, format!("# mine\n{ada}\n{grace}\n"));
        assert_eq!(fs::read_dir(&config).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_list_behind_a_link_stays_there() {
        let dir = tempfile::tempdir().unwrap();
        let (config, dotfiles) = (dir.path().join("config"), dir.path().join("dotfiles"));
        fs::create_dir(&config).unwrap();
        fs::create_dir(&dotfiles).unwrap();
        fs::write(dotfiles.join("keys"), "# mine\n").unwrap();
        symlink(dotfiles.join("keys"), config.join(TRUSTED_KEYS_FILE)).unwrap();
        assert!(TrustedKeys::add(&config, &key(1, "ada")).unwrap());
        assert!(config.join(TRUSTED_KEYS_FILE).is_symlink());
        assert!(fs::read_to_string(dotfiles.join("keys")).unwrap().starts_with("# mine\nbelljar-public-key"));
    }

    #[test]
    fn keys_that_are_added_at_once_are_all_there() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for seed in 0..8 {
                let directory = dir.path();
                scope.spawn(move || TrustedKeys::add(directory, &key(seed, "one of many")).unwrap());
            }
        });
        assert_eq!(TrustedKeys::load(dir.path()).unwrap().iter().count(), 8);
    }
}
