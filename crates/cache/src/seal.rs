//! The seal at the end of an artifact: a digest of all before it, and who vouches for the digest.
//!
//! In: an artifact's bytes and the keys. Out: bytes with a seal, or who made the seal that is there. Never:
//! says that bytes are trusted without having read every one of them.
//!
//! ```text
//! artifact │ … code … │ seal, the last 256 bytes, numbers in little endian                     │
//!
//! offset  bytes
//!      0      8  magic, "belljar" and 0x1a
//!      8      4  layout, 1
//!     12      4  flags: 1 a mac is present, 2 a signature is present; at least one is
//!     16     32  digest: BLAKE3 of everything before the seal
//!     48     32  mac: BLAKE3, keyed with the user's key, of MAC_DOMAIN and bytes 0 to 48
//!     80     32  signer: an Ed25519 public key
//!    112     64  signature: Ed25519, of SIGNATURE_DOMAIN and bytes 0 to 80
//!    176     80  zero
//! ```
//!
//! A part that is absent is zero. **Invariant:** a change of any byte of a sealed artifact is refused. What
//! is before the seal is covered by the digest; flags and digest by the mac and the signature; the mac by
//! itself if it is what gives trust, else by the signature; signer and signature by the rule that a signature
//! that is present must be right, whoever is trusted; the rest has only one allowed value.
//!
//! BLAKE3: O'Connor, Aumasson, Neves, Wilcox-O'Hearn, *BLAKE3: one function, fast everywhere*, 2020. Ed25519:
//! RFC 8032, with the stricter checks of `verify_strict`, so that nobody can make a key that fits any
//! message.

use crate::error::SealError;
use crate::keys::{PublicKey, SigningKey, Trust, UserKey};

/// How many bytes at an artifact's end belong to its seal.
pub const SEAL_BYTES: usize = 256;

/// Hashing on all cores pays off from about this many bytes on. One core takes 1.3 ms for them; starting
/// rayon's threads, for which a program that only loads code has no other use, takes 0.7 ms while the cores
/// are busy.
const PARALLEL_BYTES: usize = 8 << 20;

/// The last byte is in no text, so that no text has a seal.
const MAGIC: [u8; 8] = *b"belljar\x1a";
const VERSION: u32 = 1;
const HAS_MAC: u32 = 1;
const HAS_SIGNATURE: u32 = 2;

/// What makes a mac no mac of anything else that the user's key may come to be used for.
const MAC_DOMAIN: &[u8] = b"belljar artifact seal: mac of a user\0";
/// What makes a signature no signature of anything else that a signing key may come to be used for.
const SIGNATURE_DOMAIN: &[u8] = b"belljar artifact seal: signature\0";

/// Whose word an artifact is trusted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedBy {
    /// This user made it.
    User,
    /// It is signed with this trusted key.
    Key(PublicKey),
}

/// What a seal says, which is not to say that anybody trusts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealInfo {
    /// BLAKE3 of everything before the seal, as `b3sum` prints it for that part.
    pub digest: [u8; 32],
    /// Whether some user vouches for it. Only that user's key tells whether this is true.
    pub mac: bool,
    /// Who signed it. The signature is right.
    pub signer: Option<PublicKey>,
}

/// Writes a seal over the last [`SEAL_BYTES`] bytes.
///
/// ```
/// use belljar_cache::{SEAL_BYTES, SigningKey, Trust, TrustedBy, check, seal};
///
/// let signer = SigningKey::generate()?;
/// let mut artifact = b"code".to_vec();
/// artifact.resize(4 + SEAL_BYTES, 0);
/// seal(&mut artifact, None, Some(&signer))?;
///
/// let keys = [signer.public().named("ada")?].into_iter().collect();
/// let trust = Trust { user: None, keys };
/// assert_eq!(check(&artifact, &trust)?, TrustedBy::Key(signer.public()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`SealError::TooShort`] if there are fewer bytes than that; [`SealError::NoKey`] without any key.
pub fn seal(
    artifact: &mut [u8],
    user: Option<&UserKey>,
    signer: Option<&SigningKey>,
) -> Result<(), SealError> {
    if user.is_none() && signer.is_none() {
        return Err(SealError::NoKey);
    }
    let bytes = artifact.len();
    let Some((contents, end)) = artifact.split_last_chunk_mut::<SEAL_BYTES>() else {
        return Err(SealError::TooShort { bytes });
    };
    let flag = |present, flag| if present { flag } else { 0 };
    let mut seal = Seal {
        flags: flag(user.is_some(), HAS_MAC) | flag(signer.is_some(), HAS_SIGNATURE),
        digest: *digest(contents).as_bytes(),
        mac: [0; 32],
        signer: [0; 32],
        signature: [0; 64],
    };
    if let Some(user) = user {
        seal.mac = *user.mac(&seal.under_mac()).as_bytes();
    }
    if let Some(signer) = signer {
        seal.signer = *signer.public().as_bytes();
        seal.signature = signer.sign(&seal.under_signature());
    }
    *end = seal.to_bytes();
    Ok(())
}

/// Checks every byte of an artifact and its seal, and says who vouches for it.
///
/// The answer is about these bytes: they must be ones that nobody can change afterwards, such as a sealed
/// copy in memory, not a mapped file.
///
/// # Errors
/// [`SealError::Untrusted`] if the seal is whole and made by somebody else; the other variants if it is not
/// whole, or not there.
pub fn check(artifact: &[u8], trust: &Trust) -> Result<TrustedBy, SealError> {
    let (seal, signer) = whole_seal(artifact)?;
    if let Some(user) = &trust.user
        && seal.has(HAS_MAC)
        // Comparing hashes takes the same time wherever they differ.
        && user.mac(&seal.under_mac()) == blake3::Hash::from_bytes(seal.mac)
    {
        return Ok(TrustedBy::User);
    }
    match signer {
        Some(key) if trust.keys.contains(&key) => Ok(TrustedBy::Key(key)),
        signer => Err(SealError::Untrusted { signer }),
    }
}

/// What the seal of an artifact says. This trusts nobody: it is for showing, [`check`] is for running.
///
/// # Errors
/// As [`check`], except that the seal may be made by anybody.
pub fn seal_of(artifact: &[u8]) -> Result<SealInfo, SealError> {
    let (seal, signer) = whole_seal(artifact)?;
    Ok(SealInfo { digest: seal.digest, mac: seal.has(HAS_MAC), signer })
}

/// The seal of an artifact, if the artifact is what was sealed and signed, and who signed it.
fn whole_seal(artifact: &[u8]) -> Result<(Seal, Option<PublicKey>), SealError> {
    let Some((contents, end)) = artifact.split_last_chunk::<SEAL_BYTES>() else {
        return Err(SealError::TooShort { bytes: artifact.len() });
    };
    let seal = Seal::from_bytes(end)?;
    if digest(contents) != blake3::Hash::from_bytes(seal.digest) {
        return Err(SealError::Damaged);
    }
    if !seal.has(HAS_SIGNATURE) {
        return Ok((seal, None));
    }
    let signer = PublicKey::from_bytes(seal.signer).map_err(|_| SealError::BadSignature)?;
    match signer.has_signed(&seal.under_signature(), &seal.signature) {
        true => Ok((seal, Some(signer))),
        false => Err(SealError::BadSignature),
    }
}

fn digest(contents: &[u8]) -> blake3::Hash {
    if contents.len() < PARALLEL_BYTES {
        return blake3::hash(contents);
    }
    blake3::Hasher::new().update_rayon(contents).finalize()
}

/// The parts of a seal that can differ.
struct Seal {
    flags: u32,
    digest: [u8; 32],
    mac: [u8; 32],
    signer: [u8; 32],
    signature: [u8; 64],
}

impl Seal {
    const MAC_AT: usize = 48;
    const SIGNER_AT: usize = 80;

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn to_bytes(&self) -> [u8; SEAL_BYTES] {
        let mut bytes = [0; SEAL_BYTES];
        let parts: [&[u8]; 7] = [
            &MAGIC,
            &VERSION.to_le_bytes(),
            &self.flags.to_le_bytes(),
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

    /// Reads a seal that `to_bytes` could have written, and no other.
    fn from_bytes(bytes: &[u8; SEAL_BYTES]) -> Result<Seal, SealError> {
        let mut rest = bytes.as_slice();
        if take(&mut rest) != MAGIC {
            return Err(SealError::NotSealed);
        }
        let version = u32::from_le_bytes(take(&mut rest));
        if version != VERSION {
            return Err(SealError::UnknownVersion { found: version, known: VERSION });
        }
        let seal = Seal {
            flags: u32::from_le_bytes(take(&mut rest)),
            digest: take(&mut rest),
            mac: take(&mut rest),
            signer: take(&mut rest),
            signature: take(&mut rest),
        };
        let is_zero = |bytes: &[u8]| bytes.iter().all(|b| *b == 0);
        let refused = |what| Err(SealError::NotCanonical { what });
        if seal.flags == 0 || seal.flags & !(HAS_MAC | HAS_SIGNATURE) != 0 {
            return refused("its flags are none that are ever written");
        }
        if !seal.has(HAS_MAC) && !is_zero(&seal.mac) {
            return refused("it has no mac, yet the mac's bytes are not zero");
        }
        let is_signed_by_nobody = is_zero(&seal.signer) && is_zero(&seal.signature);
        if !seal.has(HAS_SIGNATURE) && !is_signed_by_nobody {
            return refused("it has no signature, yet the signature's bytes are not zero");
        }
        if !is_zero(rest) {
            return refused("its reserved bytes are not zero");
        }
        Ok(seal)
    }

    fn under_mac(&self) -> Vec<u8> {
        [MAC_DOMAIN, &self.to_bytes()[..Self::MAC_AT]].concat()
    }

    fn under_signature(&self) -> Vec<u8> {
        [SIGNATURE_DOMAIN, &self.to_bytes()[..Self::SIGNER_AT]].concat()
    }
}

/// The next `N` bytes; zeros where a seal's fixed size has none, which its layout rules out.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    match bytes.split_first_chunk() {
        Some((part, rest)) => {
            *bytes = rest;
            *part
        }
        None => [0; N],
    }
}
