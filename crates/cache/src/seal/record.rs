//! The last 256 bytes of a sealed artifact: their layout, and which key makes them trusted.

use super::seal_error::SealError;
use super::size::SEAL_BYTES;
use crate::identity::{ArtifactKind, Identity};
use crate::key::Key;
use crate::keys::{PublicKey, Trust, TrustedBy};

/// The last byte occurs in no text, so that no text looks sealed.
const MAGIC: [u8; 8] = *b"belljar\x1a";
const VERSION: u32 = 3;
pub(super) const HAS_MAC: u32 = 1;
pub(super) const HAS_SIGNATURE: u32 = 2;

/// Domain separation: a mac in a seal cannot be confused with any other use of the user's key.
const MAC_DOMAIN: &[u8] = b"belljar artifact seal: mac of a user\0";
/// Domain separation: a signature in a seal cannot be confused with any other use of a signing key.
const SIGNATURE_DOMAIN: &[u8] = b"belljar artifact seal: signature\0";

/// The variable parts of a seal.
pub(super) struct SealRecord {
    pub(super) flags: u32,
    pub(super) identity: Identity,
    pub(super) digest: [u8; 32],
    pub(super) mac: [u8; 32],
    pub(super) signer: [u8; 32],
    pub(super) signature: [u8; 64],
}

impl SealRecord {
    const MAC_AT: usize = 96;
    const SIGNER_AT: usize = 128;

    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn to_bytes(&self) -> [u8; SEAL_BYTES] {
        let mut bytes = [0; SEAL_BYTES];
        let parts: [&[u8]; 10] = [
            &MAGIC,
            &VERSION.to_le_bytes(),
            &self.flags.to_le_bytes(),
            &self.identity.kind.number().to_le_bytes(),
            &[0; 12],
            &self.identity.key.0,
            &self.digest,
            &self.mac,
            &self.signer,
            &self.signature,
        ];
        let mut rest = bytes.as_mut_slice();
        for part in parts {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        bytes
    }

    /// Parses a seal, accepting only bytes that `to_bytes` could have written.
    pub(super) fn from_bytes(bytes: &[u8; SEAL_BYTES]) -> Result<Self, SealError> {
        let mut rest = bytes.as_slice();
        if take(&mut rest) != MAGIC {
            return Err(SealError::NotSealed);
        }
        let version = u32::from_le_bytes(take(&mut rest));
        if version != VERSION {
            return Err(SealError::UnknownVersion { found: version, known: VERSION });
        }
        let refused = |what| Err(SealError::NotCanonical { what });
        let flags = u32::from_le_bytes(take(&mut rest));
        let Some(kind) = ArtifactKind::from_number(u32::from_le_bytes(take(&mut rest))) else {
            return refused("its kind is unknown");
        };
        if take::<12>(&mut rest) != [0; 12] {
            return refused("its reserved bytes are not zero");
        }
        let seal = Self {
            flags,
            identity: Identity { kind, key: Key(take(&mut rest)) },
            digest: take(&mut rest),
            mac: take(&mut rest),
            signer: take(&mut rest),
            signature: take(&mut rest),
        };
        let is_zero = |bytes: &[u8]| bytes.iter().all(|b| *b == 0);
        if seal.flags == 0 || seal.flags & !(HAS_MAC | HAS_SIGNATURE) != 0 {
            return refused("its flags are invalid");
        }
        if !seal.has(HAS_MAC) && !is_zero(&seal.mac) {
            return refused("it has no mac, yet the mac's bytes are not zero");
        }
        let is_unsigned = is_zero(&seal.signer) && is_zero(&seal.signature);
        if !seal.has(HAS_SIGNATURE) && !is_unsigned {
            return refused("it has no signature, yet the signature's bytes are not zero");
        }
        if !is_zero(rest) {
            return refused("its reserved bytes are not zero");
        }
        Ok(seal)
    }

    /// Verifies the signature. Returns the key that signed the seal, if it is signed.
    pub(super) fn signer(&self) -> Result<Option<PublicKey>, SealError> {
        if !self.has(HAS_SIGNATURE) {
            return Ok(None);
        }
        let signer = PublicKey::from_bytes(self.signer).map_err(|_| SealError::BadSignature)?;
        match signer.verifies(&self.signature_message(), &self.signature) {
            true => Ok(Some(signer)),
            false => Err(SealError::BadSignature),
        }
    }

    /// Returns which key makes the seal trusted. The digest must already have been verified.
    pub(super) fn trusted_by(
        &self,
        signer: Option<PublicKey>,
        trust: &Trust,
    ) -> Result<TrustedBy, SealError> {
        if let Some(user) = &trust.user
            && self.has(HAS_MAC)
            // Comparing `Hash`es takes constant time.
            && user.mac(&self.mac_message()) == blake3::Hash::from_bytes(self.mac)
        {
            return Ok(TrustedBy::User);
        }
        match signer {
            Some(key) if trust.keys.contains(&key) => Ok(TrustedBy::Key(key)),
            signer => Err(SealError::Untrusted { signer }),
        }
    }

    /// Returns [`SealRecord::trusted_by`] if the seal was made for the expected identity.
    pub(super) fn trusted_for(
        &self,
        expected: Identity,
        signer: Option<PublicKey>,
        trust: &Trust,
    ) -> Result<TrustedBy, SealError> {
        let by = self.trusted_by(signer, trust)?;
        match self.identity == expected {
            true => Ok(by),
            false => Err(SealError::OtherIdentity { expected, found: self.identity }),
        }
    }

    pub(super) fn mac_message(&self) -> Vec<u8> {
        [MAC_DOMAIN, &self.to_bytes()[..Self::MAC_AT]].concat()
    }

    pub(super) fn signature_message(&self) -> Vec<u8> {
        [SIGNATURE_DOMAIN, &self.to_bytes()[..Self::SIGNER_AT]].concat()
    }
}

/// Splits off the next `N` bytes. Returns zeros if there are fewer, which the fixed layout rules out.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    match bytes.split_first_chunk() {
        Some((part, rest)) => {
            *bytes = rest;
            *part
        }
        None => [0; N],
    }
}
