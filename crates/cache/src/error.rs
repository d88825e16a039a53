//! Why something is not trusted, not a key, or not kept.
//!
//! Each message says what was expected, what was found, and what to do.

use crate::dirs::NoDirectory;
use std::fmt;
use std::io;
use std::path::PathBuf;

use belljar_core::OutsideText;

use crate::hex::HexError;
use crate::identity::Identity;
use crate::keys::PublicKey;
use crate::seal::SEAL_BYTES;

/// Why an artifact is not trusted, or could not be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealError {
    /// There is no room for a seal.
    TooShort {
        /// Bytes found.
        bytes: usize,
    },
    /// There is no seal at the end.
    NotSealed,
    /// The seal has a layout that this version does not know.
    UnknownVersion {
        /// The layout's number found.
        found: u32,
        /// The number known.
        known: u32,
    },
    /// The seal's bytes are none that sealing writes.
    NotCanonical {
        /// What is wrong with them.
        what: &'static str,
    },
    /// The artifact is not the one that was sealed.
    Damaged,
    /// The seal names a signer who did not sign this.
    BadSignature,
    /// Neither this user nor the holder of a trusted key made the seal.
    Untrusted {
        /// Who signed it, if anybody did.
        signer: Option<PublicKey>,
    },
    /// It is whole and trusted, but not what was looked for.
    OtherIdentity {
        /// What was looked for.
        expected: Identity,
        /// What it was sealed as.
        found: Identity,
    },
    /// Sealing was asked for over bytes of which the seal would not be as many as are left for it.
    NoRoom {
        /// Bytes of contents and seal.
        bytes: usize,
    },
    /// Sealing was asked for with neither a user's key nor a signing key.
    NoKey,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { bytes } => write!(
                f,
                "not a sealed artifact: expected at least {SEAL_BYTES} bytes, found {bytes}: compile it again"
            ),
            Self::NoRoom { bytes } => write!(
                f,
                "{bytes} bytes are no artifact with room for a seal: append as many to its contents as `seal_bytes` says"
            ),
            Self::NotSealed => write!(
                f,
                "not a sealed artifact: expected a seal in the last {SEAL_BYTES} bytes, found none: compile \
                 it again"
            ),
            Self::UnknownVersion { found, known } => write!(
                f,
                "the seal has layout {found}, and this version of belljar knows layout {known}: compile the \
                 artifact again with this version"
            ),
            Self::NotCanonical { what } => {
                write!(f, "the seal is damaged or forged: {what}: compile the artifact again")
            }
            Self::Damaged => f.write_str(
                "the artifact is damaged: its digest is not the one in its seal: copy it again from where \
                 it was made, or compile it again",
            ),
            Self::BadSignature => f.write_str(
                "the seal is damaged or forged: its signature is not by the key that it names: copy the \
                 artifact again from where it was made",
            ),
            Self::Untrusted { signer: None } => f.write_str(
                "the artifact was sealed by another user or on another machine, and nobody signed it: \
                 compile it here, or have it signed with a key that you trust",
            ),
            Self::Untrusted { signer: Some(key) } => write!(
                f,
                "the artifact is signed with the key {}, which is not trusted: if you know whose it is, \
                 trust it with `belljar key trust`",
                key.fingerprint()
            ),
            Self::OtherIdentity { expected, found } => {
                write!(f, "the artifact is something else: expected {expected}, found {found}: make it again")
            }
            Self::NoKey => f.write_str("expected a user's key or a signing key to seal with, found neither"),
        }
    }
}

impl std::error::Error for SealError {}

/// Why a text is not a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyTextError {
    /// It does not have the form of a key.
    NotAKey {
        /// The form expected.
        form: &'static str,
    },
    /// It is the secret half of a key, and the public half is wanted.
    Secret,
    /// It is the public half of a key, and the secret half is wanted.
    Public,
    /// It is a key of a version that is not known.
    UnknownVersion {
        /// The form expected.
        form: &'static str,
    },
    /// The digits are wrong.
    Hex(HexError),
    /// The digits are no Ed25519 public key, or one that proves nothing.
    NotAPoint,
    /// Something follows the key that is no name of one line.
    Name,
}

impl fmt::Display for KeyTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAKey { form } => write!(f, "not a key: expected `{form}`, found something else"),
            Self::Secret => f.write_str(
                "expected a public key, found a secret one: keep it to yourself, and use the file of the \
                 same name that ends in .pub",
            ),
            Self::Public => f.write_str(
                "expected a secret key, found a public one: use the file of the same name that ends in .key",
            ),
            Self::UnknownVersion { form } => {
                write!(f, "not a key of a known version: expected `{form}`: use the belljar that made it")
            }
            Self::Hex(e) => write!(f, "not a key: {e}"),
            Self::NotAPoint => {
                f.write_str("not a key: these are no digits of an Ed25519 key: copy its .pub file again")
            }
            Self::Name => f.write_str(
                "expected nothing after the key (or, if it is public, a name of visible characters), found more: \
                 remove it",
            ),
        }
    }
}

impl std::error::Error for KeyTextError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Hex(e) => Some(e),
            _ => None,
        }
    }
}

impl From<HexError> for KeyTextError {
    fn from(e: HexError) -> Self {
        Self::Hex(e)
    }
}

/// Why there is no key.
#[derive(Debug)]
pub enum KeyError {
    /// The operating system says no.
    Io {
        /// What was to be done, as in "could not … it".
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// A file or directory that others can reach, or that is no such thing.
    Refused {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A file does not hold what it should.
    Malformed {
        /// Which file.
        path: PathBuf,
        /// The line, from 1, in a file of many.
        line: Option<usize>,
        /// What is wrong there.
        error: KeyTextError,
    },
    /// A new key would take the place of a file.
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The operating system gives no random bytes.
    Random(io::Error),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, error } => {
                write!(f, "could not {action} {}: {error}", OutsideText::new(path))
            }
            Self::Refused { path, why } => write!(f, "{} is not used: {why}", OutsideText::new(path)),
            Self::Malformed { path, line: Some(line), error } => {
                write!(f, "{}, line {line}: {error}", OutsideText::new(path))
            }
            Self::Malformed { path, line: None, error } => write!(f, "{}: {error}", OutsideText::new(path)),
            Self::Exists { path } => write!(
                f,
                "{} exists, and keys are never overwritten: choose another name, or move it away",
                OutsideText::new(path)
            ),
            Self::Random(error) => write!(f, "could not make a key: no random bytes: {error}"),
        }
    }
}

impl std::error::Error for KeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } | Self::Random(error) => Some(error),
            Self::Malformed { error, .. } => Some(error),
            Self::Refused { .. } | Self::Exists { .. } => None,
        }
    }
}

/// Why the cache did not do what it should. The caller can always go on without it.
#[derive(Debug)]
pub enum CacheError {
    /// The operating system says no.
    Io {
        /// What was to be done, as in "could not … it".
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// Something that is no directory is where the cache should be.
    NotADirectory {
        /// Where.
        path: PathBuf,
        /// What it is instead: `a file`, `a symbolic link`, …
        found: &'static str,
    },
    /// Others could put files into the cache.
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// Whose it is or what its mode allows, and what to do.
        why: String,
    },
    /// It is not known where the user's cache is.
    NoDirectory(NoDirectory),
    /// An artifact alone is larger than all of the cache may be.
    TooLarge {
        /// The artifact's bytes.
        bytes: u64,
        /// What the cache may hold, in bytes.
        limit: u64,
    },
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, error } => {
                write!(f, "the cache could not {action} {}: {error}", OutsideText::new(path))
            }
            Self::NotADirectory { path, found } => write!(
                f,
                "{} is not used as a cache: expected a directory, found {found}: move it away, or name \
                 another directory in BELLJAR_CACHE",
                OutsideText::new(path)
            ),
            Self::NotPrivate { path, why } => {
                write!(f, "{} is not used as a cache: {why}", OutsideText::new(path))
            }
            Self::NoDirectory(error) => error.fmt(f),
            Self::TooLarge { bytes, limit } => write!(
                f,
                "an artifact of {bytes} bytes is not kept: the whole cache may have {limit} bytes: raise \
                 its limit"
            ),
        }
    }
}

impl std::error::Error for CacheError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
