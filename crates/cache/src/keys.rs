//! Who makes artifacts, and who is believed.
//!
//! **Keys are where the promise of safe code ends.** Whoever has a secret key can seal native code that nobody compiled, and whoever
//! trusts it executes that. No function without a key can.
//!
//! A [`UserKey`] is a secret between runs of one user on one machine. A [`SigningKey`] vouches for artifacts
//! to everybody who has its [`PublicKey`] among the [`TrustedKeys`]. Never: a secret in an error, a log or a
//! `Debug`.

mod signing_key;
mod text;
mod trusted_keys;
mod user_key;

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::error::{KeyError, KeyTextError};

pub use signing_key::{KeyFiles, SigningKey};
pub use text::{Fingerprint, NamedKey, PublicKey};
pub use trusted_keys::{TRUSTED_KEYS_FILE, TrustedKeys};
pub use user_key::{USER_KEY_FILE, UserKey};

/// Whom this process believes: whose native code it executes, whatever that is.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// This user, if the key is known.
    pub user: Option<UserKey>,
    /// The holders of these keys.
    pub keys: TrustedKeys,
}

/// Makes a closure that says what could not be done with `path`.
fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_path_buf();
    move |error| KeyError::Io { action, path, error }
}

/// Makes a closure that says why `path` is not used, and what to do.
fn refused(path: &Path, advice: &str) -> impl FnOnce(String) -> KeyError {
    let (path, advice) = (path.to_path_buf(), advice.to_string());
    move |why| KeyError::Refused { path, why: format!("{why}: {advice}") }
}

/// Makes a closure that says what is wrong with the text in `path`.
fn malformed(path: &Path, line: Option<usize>) -> impl FnOnce(KeyTextError) -> KeyError {
    let path = path.to_path_buf();
    move |error| KeyError::Malformed { path, line, error }
}

/// Opens a file to read. A pipe that somebody put there does not make this wait for a writer.
fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = (flags | OFlags::CLOEXEC | OFlags::NONBLOCK).bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

/// Reads all of a file, but no more than `limit` bytes and one.
fn read_up_to(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
