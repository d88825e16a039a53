//! The secret key by which a user's runs recognize each other's artifacts.
//!
//! The first use creates it. If several processes do so at once, all end up with the same key:
//!
//! ```text
//! read user.key ── absent ──▶ write .tmp-… ──▶ link it to user.key ── taken ──▶ read user.key
//! ```

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use belljar_core::OutsideText;
use rustix::fs::OFlags;

use super::key_error::{KeyError, io_error, refused};
use super::key_file::{open, read_up_to};
use crate::new_file::{NewFile, sync_directory};
use crate::private_directory::make_private_directory;
use crate::{access, random};

/// The name of the file that holds a user's key.
pub const USER_KEY_FILE: &str = "user.key";

const KEY_BYTES: usize = 32;

/// How often to retry if the key disappears between being created and being read.
const ATTEMPTS: usize = 3;

const REMOVE_KEY: &str =
    "remove it, and a new key is made; artifacts sealed with this one are then compiled again";

/// The advice is not to remove the file: under `sudo`, it is probably the key of the user who called `sudo`.
const RUN_AS_OWNER: &str = "run as that user, or name a directory of your own in XDG_STATE_HOME";

/// A user's secret key. **Anyone who has it can make this user's runs execute arbitrary native code**: it seals
/// artifacts that they load without further checks ([`seal_native_code`](crate::seal_native_code)), using safe
/// functions alone. Rust's safety guarantees end here, as they do at a debugger: give the key to no program but
/// belljar.
#[derive(Clone)]
pub struct UserKey([u8; KEY_BYTES]);

impl UserKey {
    /// Returns the key in `directory`, [usually](crate::state_directory) the user's state directory. The first call
    /// creates the key and the directory.
    ///
    /// # Errors
    /// Returns [`KeyError::Refused`] if other users can read or replace the key, or if the file is not a key, and [`KeyError::Io`] or
    /// [`KeyError::Random`] if the operating system reports an error.
    pub fn of(directory: &Path) -> Result<UserKey, KeyError> {
        let path = directory.join(USER_KEY_FILE);
        for _ in 0..ATTEMPTS {
            if let Some(key) = UserKey::load(directory, &path)? {
                return Ok(key);
            }
            UserKey::make(directory, &path)?;
        }
        let why = "it vanishes as soon as it is made".to_string();
        Err(refused(&path, "keep other programs from removing it")(why))
    }

    /// Creates a key from bytes that are stored elsewhere. The bytes must be random: anyone who guesses them can forge
    /// artifacts.
    pub fn from_bytes(bytes: [u8; 32]) -> UserKey {
        UserKey(bytes)
    }

    /// Returns the keyed BLAKE3 digest of `message`.
    pub(crate) fn mac(&self, message: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.0, message)
    }

    /// Reads the key from a file; `None` if there is no file.
    fn load(directory: &Path, path: &Path) -> Result<Option<UserKey>, KeyError> {
        let file = match open(path, OFlags::NOFOLLOW) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            // Opening a symbolic link fails, as intended, but the error does not say why.
            Err(e) if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) => {
                return Err(refused(path, REMOVE_KEY)(format!(
                    "expected a regular file, found a symbolic link ({e})"
                )));
            }
            Err(e) => return Err(io_error("open", path)(e)),
        };
        let found = file.metadata().map_err(io_error("examine", path))?;
        access::require_regular(&found).map_err(refused(path, REMOVE_KEY))?;
        access::require_own(&found).map_err(refused(path, RUN_AS_OWNER))?;
        access::require_not_readable_by_others(&found).map_err(refused(path, REMOVE_KEY))?;
        check_directory(directory)?;
        let bytes = read_up_to(file, KEY_BYTES as u64).map_err(io_error("read", path))?;
        match bytes.try_into() {
            Ok(bytes) => Ok(Some(UserKey(bytes))),
            Err(_) => {
                let why = format!("expected a key of {KEY_BYTES} bytes, found {} bytes", found.len());
                Err(refused(path, REMOVE_KEY)(why))
            }
        }
    }

    /// Creates a key, unless another process creates one first.
    fn make(directory: &Path, path: &Path) -> Result<(), KeyError> {
        make_private_directory(directory).map_err(io_error("make the directory", directory))?;
        // Creating a key here would get in the way of the user who owns the directory.
        check_directory(directory)?;
        let bytes: [u8; KEY_BYTES] = random::bytes().map_err(KeyError::Random)?;
        let new =
            NewFile::write(directory, 0o600, &bytes).map_err(io_error("write a key into", directory))?;
        match new.publish(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(io_error("make", path)(e)),
            Ok(()) => sync_directory(directory).map_err(io_error("write", directory)),
        }
    }
}

/// Refuses a directory that other users can write. Anyone who can replace the key file could substitute any other file
/// of this user with the right length.
fn check_directory(directory: &Path) -> Result<(), KeyError> {
    let found = fs::metadata(directory).map_err(io_error("examine", directory))?;
    access::require_own(&found).map_err(refused(directory, RUN_AS_OWNER))?;
    let advice = format!("run `chmod go-w {}`", OutsideText::new(directory));
    access::require_not_writable_by_others(&found).map_err(refused(directory, &advice))
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::Barrier;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn why(directory: &Path) -> String {
        UserKey::of(directory).unwrap_err().to_string()
    }

    #[test]
    fn the_first_use_makes_the_key_and_others_find_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("home/state");
        let first = UserKey::of(&state).unwrap();
        assert_eq!(first.0, UserKey::of(&state).unwrap().0);
        assert_eq!(mode(&state), 0o700);
        assert_eq!(mode(&state.join(USER_KEY_FILE)), 0o600);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "no temporary file is left");
        assert_ne!(first.0, UserKey::of(&dir.path().join("other")).unwrap().0);
        assert_eq!(format!("{first:?}"), "UserKey(secret)");
    }

    #[test]
    fn threads_that_start_together_get_one_key() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let state = dir.path().join("state");
            let start = Barrier::new(8);
            let keys: Vec<_> = std::thread::scope(|scope| {
                let run = || {
                    start.wait();
                    UserKey::of(&state).unwrap().0
                };
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(keys.iter().all(|key| *key == keys[0]));
            assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_key_that_others_can_reach_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(USER_KEY_FILE);
        UserKey::of(dir.path()).unwrap();
        for bad in [0o640, 0o604, 0o620, 0o602] {
            set_mode(&path, bad);
            let why = why(dir.path());
            assert!(why.contains(&format!("mode {bad:04o}")) && why.contains("remove it"), "{why}");
        }
        set_mode(&path, 0o400);
        UserKey::of(dir.path()).unwrap();
        for bad in [0o770, 0o707, 0o1777] {
            set_mode(dir.path(), bad);
            let why = why(dir.path());
            assert!(why.contains("chmod go-w"), "{why}");
        }
    }

    #[test]
    fn a_key_of_another_user_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        UserKey::of(dir.path()).unwrap();
        let path = dir.path().join(USER_KEY_FILE);
        if std::os::unix::fs::chown(&path, Some(12345), None).is_err() {
            eprintln!("skipped: only root can give files away");
            return;
        }
        let why = why(dir.path());
        assert!(why.contains("belongs to user 12345") && !why.contains("remove"), "{why}");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(USER_KEY_FILE);
        for length in [0, 31, 33, 100_000] {
            fs::write(&path, vec![1; length]).unwrap();
            set_mode(&path, 0o600);
            let why = why(dir.path());
            assert!(why.contains(&format!("32 bytes, found {length} bytes")), "{why}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(why(dir.path()).contains("found a directory"), "{}", why(dir.path()));
        fs::remove_dir(&path).unwrap();
        symlink("elsewhere", &path).unwrap();
        assert!(why(dir.path()).contains("found a symbolic link"), "{}", why(dir.path()));
        fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        assert!(why(dir.path()).contains("found a pipe"), "{}", why(dir.path()));
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        fs::write(&path, "").unwrap();
        assert!(matches!(UserKey::of(&path), Err(KeyError::Io { .. })));
        assert!(matches!(UserKey::of(&path.join("below")), Err(KeyError::Io { .. })));
    }
}
