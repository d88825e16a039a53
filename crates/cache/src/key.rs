//! The key that an artifact is looked up by.

use std::fmt;
use std::str::FromStr;

use crate::hex::{self, HexError};

/// The key that an artifact is looked up by: a digest, computed by the caller, of everything that the artifact depends
/// on.
///
/// Its text form is 64 hexadecimal digits, lower case.
///
/// ```
/// use belljar_cache::Key;
///
/// let key = Key([0xab; 32]);
/// assert_eq!(key.to_string(), "ab".repeat(32));
/// assert_eq!(key.to_string().parse(), Ok(key));
/// assert!("AB".repeat(32).parse::<Key>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 32]);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl FromStr for Key {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex::decode(text).map(Key)
    }
}
