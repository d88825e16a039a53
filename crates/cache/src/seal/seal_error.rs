//! The error of sealing an artifact or checking its seal.

use super::size::SEAL_BYTES;
use crate::identity::Identity;
use crate::keys::PublicKey;
use std::fmt;

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
