//! Whether bytes are text.

use belljar_core::{Error, Result, format_err};

/// Returns bytes as text.
///
/// # Errors
///
/// Returns an error that says where they are not UTF-8.
#[inline]
pub fn utf8(bytes: &[u8]) -> Result<&str> {
    // Vectors are faster for all text but the shortest, and tell nothing about what is wrong.
    if bytes.len() >= VECTORS
        && let Ok(text) = simdutf8::basic::from_utf8(bytes)
    {
        return Ok(text);
    }
    std::str::from_utf8(bytes).map_err(|error| format_err!("invalid utf-8: {error}"))
}

/// The number of bytes from which on text is checked by vectors.
const VECTORS: usize = 64;

/// Checks that bytes are UTF-16, in little-endian order.
///
/// # Errors
///
/// Returns an error that names the first unit that belongs to no character.
pub fn check_utf16(bytes: &[u8]) -> Result<()> {
    let (units, _) = bytes.as_chunks::<2>();
    let mut blocks = units.chunks(32);
    // Most text has no surrogates.
    let is_surrogate = |unit: &[u8; 2]| u16::from_le_bytes(*unit) & 0xf800 == 0xd800;
    if !blocks.any(|block| block.iter().fold(false, |any, unit| any | is_surrogate(unit))) {
        return Ok(());
    }
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
    match char::decode_utf16(units).find_map(|char| char.err()) {
        Some(error) => Err(no_utf16(error)),
        None => Ok(()),
    }
}

/// The error of a unit that belongs to no character.
#[cold]
pub(crate) fn no_utf16(error: std::char::DecodeUtf16Error) -> Error {
    format_err!("invalid utf-16: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surrogates_come_in_pairs() {
        let bytes = |units: &[u16]| units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>();
        let mut units = vec![0x61; 100];
        assert!(check_utf16(&bytes(&units)).is_ok());
        (units[70], units[71]) = (0xd83d, 0xde00);
        assert!(check_utf16(&bytes(&units)).is_ok());
        units[71] = 0x61;
        let error = check_utf16(&bytes(&units)).unwrap_err();
        assert_eq!(error.to_string(), "invalid utf-16: unpaired surrogate found: d83d");
        units[70] = 0xdfff;
        assert!(check_utf16(&bytes(&units)).is_err());
    }
}
