//! Secret keys that sign artifacts for other users.
//!
//! A key is two files: `NAME.key`, which stays secret, and `NAME.pub`, which is distributed. Keys and signatures are
//! Ed25519 as in RFC 8032; the secret file holds the seed of section 5.1.5.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use belljar_core::OutsideText;
use ed25519_dalek::Signer;
use rustix::fs::OFlags;

use super::key_error::{KeyError, io_error, malformed, refused};
use super::key_file::{open, read_text};
use super::key_text_error::KeyTextError;
use super::public_key::PublicKey;
use super::text::{parse_seed, print_seed};
use crate::new_file::{NewFile, directory_of, sync_directory};
use crate::{access, random};

/// A secret key. Its holder can sign artifacts that run wherever its public half is trusted.
///
/// Its text form, read by [`FromStr`], is what [`SigningKey::write_new`] writes to the secret file.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

/// The two files of a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFiles {
    /// The secret half, `NAME.key`, which only this user can read.
    pub secret: PathBuf,
    /// The public half, `NAME.pub`.
    pub public: PathBuf,
}

impl SigningKey {
    /// Generates a new key.
    ///
    /// # Errors
    /// Returns [`KeyError::Random`] if the operating system provides no random bytes.
    pub fn generate() -> Result<SigningKey, KeyError> {
        random::bytes().map(SigningKey::from_seed).map_err(KeyError::Random)
    }

    /// Creates the key of a seed, which must be random.
    pub fn from_seed(seed: [u8; 32]) -> SigningKey {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// Reads a secret key file.
    ///
    /// # Errors
    /// Returns [`KeyError::Refused`] if other users can read the file, [`KeyError::Malformed`] if it holds no secret key, and
    /// [`KeyError::Io`] if it cannot be read.
    pub fn read(path: &Path) -> Result<SigningKey, KeyError> {
        let file = open(path, OFlags::empty()).map_err(io_error("open", path))?;
        let found = file.metadata().map_err(io_error("examine", path))?;
        let path_shown = OutsideText::new(path);
        let advice = format!("run `chmod 600 {path_shown}`, and make a new key if somebody may have read it");
        access::require_regular(&found).map_err(refused(path, "name the file that ends in .key"))?;
        access::require_not_readable_by_others(&found).map_err(refused(path, &advice))?;
        let text = read_text(file).map_err(io_error("read", path))?;
        text.parse().map_err(malformed(path, None))
    }

    /// Returns the public half.
    pub fn public(&self) -> PublicKey {
        PublicKey::of_signer(self.0.verifying_key().to_bytes())
    }

    /// Writes both halves to new files: `stem` with `.key` and with `.pub` appended. The key's name is the last
    /// component of `stem`.
    ///
    /// # Errors
    /// Returns [`KeyError::Exists`] if one of these files exists, [`KeyError::Malformed`] if the name has control characters,
    /// [`KeyError::Refused`] if `stem` has no name, and [`KeyError::Io`] if a file cannot be created. If only one of the files can be
    /// created, it is removed.
    pub fn write_new(&self, stem: &Path) -> Result<KeyFiles, KeyError> {
        let Some(name) = stem.file_name().map(OsStr::to_string_lossy) else {
            return Err(refused(stem, "choose a name")("expected a path that ends in a name".to_string()));
        };
        let named = self.public().named(&name).map_err(malformed(stem, None))?;
        let files = KeyFiles { secret: with_suffix(stem, ".key"), public: with_suffix(stem, ".pub") };
        let directory = directory_of(stem);
        let write = |mode, text: String| {
            NewFile::write(directory, mode, text.as_bytes()).map_err(io_error("write a key into", directory))
        };
        let secret = write(0o600, format!("{}\n", print_seed(self.0.as_bytes())))?;
        let public = write(0o644, format!("{named}\n"))?;
        publish(secret, &files.secret)?;
        if let Err(e) = publish(public, &files.public) {
            // One half is useless without the other, and this call created it.
            let _ = fs::remove_file(&files.secret);
            return Err(e);
        }
        sync_directory(directory).map_err(io_error("write", directory))?;
        Ok(files)
    }

    /// Returns an Ed25519 signature of `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// Appends to a path. Unlike `with_extension` this keeps all of `v1.2`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn publish(new: NewFile, path: &Path) -> Result<(), KeyError> {
    new.publish(path).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_path_buf() },
        _ => io_error("make", path)(e),
    })
}

impl FromStr for SigningKey {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_seed(text).map(SigningKey::from_seed)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(secret, fingerprint {})", self.public().fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::hex;
    use crate::keys::NamedKey;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn keys_and_signatures_are_those_of_rfc_8032() {
        // Section 7.1, test 1: an empty message.
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = SigningKey::from_seed(seed);
        assert_eq!(
            hex::encode(key.public().as_bytes()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert_eq!(
            hex::encode(&key.sign(b"")),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b\
             d25bf5f0595bbe24655141438e7a100b"
        );
        assert!(key.public().verifies(b"", &key.sign(b"")));
        assert!(!key.public().verifies(b"x", &key.sign(b"")));
    }

    #[test]
    fn a_new_key_is_two_files_that_are_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        let files = key.write_new(&dir.path().join("release v1.2")).unwrap();
        assert_eq!(files.secret, dir.path().join("release v1.2.key"));
        assert_eq!(files.public, dir.path().join("release v1.2.pub"));
        assert_eq!(mode(&files.secret), 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file is left");
        assert_eq!(SigningKey::read(&files.secret).unwrap().public(), key.public());
        let named = NamedKey::read(&files.public).unwrap();
        assert_eq!((named.key(), named.name()), (key.public(), "release v1.2"));
        let secret = fs::read_to_string(&files.secret).unwrap();
        let digits = secret.trim().rsplit(' ').next().unwrap();
        assert!(!format!("{key:?}").contains(digits));
    }

    #[test]
    fn nothing_is_overwritten_and_no_half_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        for (taken, free) in [("a.key", "a.pub"), ("b.pub", "b.key")] {
            fs::write(dir.path().join(taken), "precious").unwrap();
            let error = key.write_new(&dir.path().join(&taken[..1])).unwrap_err();
            assert!(matches!(&error, KeyError::Exists { path } if path.ends_with(taken)), "{error}");
            assert_eq!(fs::read(dir.path().join(taken)).unwrap(), b"precious");
            assert!(!dir.path().join(free).exists());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(matches!(key.write_new(&dir.path().join("no/where")), Err(KeyError::Io { .. })));
        assert!(matches!(key.write_new(&dir.path().join("..")), Err(KeyError::Refused { .. })));
        assert!(matches!(key.write_new(&dir.path().join("two\nlines")), Err(KeyError::Malformed { .. })));
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let files = SigningKey::generate().unwrap().write_new(&dir.path().join("ada")).unwrap();
        fs::set_permissions(&files.secret, fs::Permissions::from_mode(0o644)).unwrap();
        let error = SigningKey::read(&files.secret).unwrap_err().to_string();
        assert!(error.contains("mode 0644") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn the_wrong_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let files = SigningKey::generate().unwrap().write_new(&dir.path().join("ada")).unwrap();
        let error = NamedKey::read(&files.secret).unwrap_err().to_string();
        assert!(error.contains("found a secret one"), "{error}");
        fs::set_permissions(&files.public, fs::Permissions::from_mode(0o600)).unwrap();
        let error = SigningKey::read(&files.public).unwrap_err().to_string();
        assert!(error.contains("found a public one"), "{error}");
        assert!(matches!(SigningKey::read(dir.path()), Err(KeyError::Refused { .. })));
        assert!(matches!(SigningKey::read(&dir.path().join("none.key")), Err(KeyError::Io { .. })));
        let damaged = dir.path().join("damaged.key");
        fs::write(&damaged, [0xff; 10_000]).unwrap();
        fs::set_permissions(&damaged, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(SigningKey::read(&damaged), Err(KeyError::Malformed { .. })));
    }
}
