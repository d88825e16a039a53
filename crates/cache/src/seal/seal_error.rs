//! The error of sealing an artifact or checking its seal.

use super::size::SEAL_BYTES;
use crate::identity::Identity;
use crate::keys::PublicKey;
use std::fmt;

/// The reason why an artifact is not trusted, or could not be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealError {
    /// It is too short to have a seal.
    TooShort {
        /// The number of bytes found.
        bytes: usize,
    },
    /// It has no seal at its end.
    NotSealed,
    /// The seal's layout is unknown to this version.
    UnknownVersion {
        /// The layout's number.
        found: u32,
        /// The known layout.
        known: u32,
    },
    /// The seal has bytes that sealing never writes.
    NotCanonical {
        /// What is wrong with them.
        what: &'static str,
    },
    /// The artifact does not match its seal.
    Damaged,
    /// The signature is not by the key that the seal names.
    BadSignature,
    /// Neither this user's key nor a trusted key made the seal.
    Untrusted {
        /// The key that signed it, if it is signed.
        signer: Option<PublicKey>,
    },
    /// It is intact and trusted, but not the expected artifact.
    OtherIdentity {
        /// The expected identity.
        expected: Identity,
        /// The identity that it was sealed as.
        found: Identity,
    },
    /// The bytes to seal do not leave exactly as much room as their seal takes.
    NoRoom {
        /// The number of bytes of contents and seal.
        bytes: usize,
    },
    /// Neither a user's key nor a signing key was given to seal with.
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
                "{bytes} bytes are not an artifact with room for a seal: append as many bytes to its contents as `seal_bytes` says"
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
                "the artifact was sealed by another user or on another machine, and it is not signed: \
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
