//! The error of parsing a key from text.

use crate::hex::HexError;
use std::fmt;

/// The reason why a text is not a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyTextError {
    /// It does not have the form of a key.
    NotAKey {
        /// The expected form.
        form: &'static str,
    },
    /// It is a secret key where a public key is expected.
    Secret,
    /// It is a public key where a secret key is expected.
    Public,
    /// The version of its format is unknown.
    UnknownVersion {
        /// The expected form.
        form: &'static str,
    },
    /// The digits are wrong.
    Hex(HexError),
    /// The digits are not an Ed25519 public key, or one of the weak keys whose signatures prove nothing.
    NotAPoint,
    /// Text follows the key that is not a one-line name.
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
