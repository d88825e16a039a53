//! Public keys and their fingerprints.

use super::key_text_error::KeyTextError;
use crate::hex;
use ed25519_dalek::{Signature, VerifyingKey};
use std::fmt;

/// The public half of a [`SigningKey`](crate::SigningKey), which verifies signatures made with the secret half.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Creates a key from its bytes, encoded as in RFC 8032.
    ///
    /// # Errors
    /// Returns [`KeyTextError::NotAPoint`] if the bytes are not a key, or one of the weak keys whose signatures prove nothing.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<PublicKey, KeyTextError> {
        match VerifyingKey::from_bytes(&bytes) {
            Ok(key) if !key.is_weak() => Ok(PublicKey(bytes)),
            _ => Err(KeyTextError::NotAPoint),
        }
    }

    /// Creates the public half of a signing key, which is never a key that [`PublicKey::from_bytes`] rejects.
    pub(super) fn of_signer(bytes: [u8; 32]) -> PublicKey {
        PublicKey(bytes)
    }

    /// Returns the key's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the fingerprint by which people compare keys.
    pub fn fingerprint(&self) -> Fingerprint {
        let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(&self.0).as_bytes();
        Fingerprint([a, b, c, d, e, f, g, h])
    }

    /// Returns whether `signature` is a signature of `message` by this key.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(&self.0))
    }
}

/// The first 8 bytes of a public key's BLAKE3 digest, printed as 16 digits.
///
/// Fingerprints are for people; trust decisions always compare whole keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint([u8; 8]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_prove_nothing_are_refused() {
        // The neutral element, a point of order four, and no point at all (RFC 8032, section 5.1.3).
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut no_point = [0; 32];
        no_point[0] = 2;
        for bytes in [neutral, [0; 32], no_point] {
            assert_eq!(PublicKey::from_bytes(bytes), Err(KeyTextError::NotAPoint));
        }
    }
}
