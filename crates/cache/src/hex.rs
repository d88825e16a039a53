//! Bytes as hexadecimal text: two digits a byte, lower case only, so that equal bytes have exactly one text.
//!
//! File names and keys are written this way. Errors give the position of a character, never the character itself: the
//! text may be a secret.

use belljar_core::Counted;
use std::fmt;

/// The error of decoding a text that is not the hexadecimal form of the expected number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HexError {
    /// It is too short or too long.
    Length {
        /// Digits expected.
        expected: usize,
        /// Characters found.
        found: usize,
    },
    /// A character is not one of the digits 0-9 and a-f.
    Digit {
        /// The character's position, counted from 1.
        position: usize,
    },
}

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { expected, found } => {
                write!(
                    f,
                    "expected {expected} hexadecimal digits, found {}: copy it again in full",
                    Counted::of(*found, "character")
                )
            }
            Self::Digit { position } => {
                write!(f, "expected hexadecimal digits (0-9, a-f), character {position} is something else")
            }
        }
    }
}

impl std::error::Error for HexError {}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Returns the hexadecimal text of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(DIGITS[usize::from(n)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Decodes `text` to `N` bytes.
pub(crate) fn decode<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let found = text.chars().count();
    if found != 2 * N {
        return Err(HexError::Length { expected: 2 * N, found });
    }
    let mut bytes = [0; N];
    for (at, c) in text.chars().enumerate() {
        let digit = match c {
            '0'..='9' => c as u8 - b'0',
            'a'..='f' => c as u8 - b'a' + 10,
            _ => return Err(HexError::Digit { position: at + 1 }),
        };
        bytes[at / 2] = bytes[at / 2] << 4 | digit;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        let bytes: [u8; 256] = bytes.try_into().unwrap();
        assert_eq!(decode(&encode(&bytes)), Ok(bytes));
        assert_eq!(encode(&[0x0f, 0xa0]), "0fa0");
    }

    #[test]
    fn one_text_for_each_value() {
        assert_eq!(decode::<2>("0FA0"), Err(HexError::Digit { position: 2 }));
        assert_eq!(decode::<2>("0fa"), Err(HexError::Length { expected: 4, found: 3 }));
        assert_eq!(decode::<2>("0fa00"), Err(HexError::Length { expected: 4, found: 5 }));
        assert_eq!(decode::<2>("0fé0"), Err(HexError::Digit { position: 3 }));
        assert_eq!(decode::<1>("+1"), Err(HexError::Digit { position: 1 }));
    }
}
