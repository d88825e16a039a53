//! The seal at the end of an artifact: what the artifact is, a digest of its contents, and who vouches for both.
//!
//! In: an artifact's bytes, its [`Identity`] and keys. Out: sealed bytes, or who made an existing seal; for a block of
//! the bytes, whether it is the one that was sealed. Bytes are never reported as trusted before every one of them has
//! been read, or as anything other than what they were sealed as.
//!
//! ```text
//! artifact │ contents │ digests of blocks, 32 bytes each │ the last 256 bytes, numbers in little endian │
//!
//! offset  bytes
//!      0      8  magic, "belljar" and 0x1a
//!      8      4  layout, 3
//!     12      4  flags: 1 a mac is present, 2 a signature is present; at least one is
//!     16      4  kind: 1 an entry of a cache, 2 a module, 3 a snapshot
//!     20     12  zero
//!     32     32  key: what it was sealed under
//!     64     32  digest: BLAKE3 of the contents
//!     96     32  mac: BLAKE3, keyed with the user's key, of MAC_DOMAIN and bytes 0 to 96
//!    128     32  signer: an Ed25519 public key
//!    160     64  signature: Ed25519, of SIGNATURE_DOMAIN and bytes 0 to 128
//!    224     32  zero
//! ```
//!
//! Contents of more than one block of [`BLOCK_BYTES`] have a digest for each block: these are nodes of the BLAKE3 tree,
//! and the digest of the whole follows from them. Absent parts are zero. **Invariant:** a change of any byte of a
//! sealed artifact is detected. The contents and the blocks' digests are covered by the digest; flags, kind, key and
//! digest by the mac and the signature; the mac by itself if it is the reason for trust, otherwise by the signature;
//! signer and signature by the rule that a signature that is present must be valid, whoever is trusted; all other bytes
//! have only one allowed value. **Invariant:** the caller of a check says what the bytes must be, and never gets
//! another kind or another key's artifact.
//!
//! BLAKE3: O'Connor, Aumasson, Neves, Wilcox-O'Hearn, *BLAKE3: one function, fast everywhere*, 2020. Ed25519: RFC 8032,
//! with the stricter checks of `verify_strict`, so that no one can construct a key whose signature is valid for any
//! message.

mod record;
mod seal_error;
mod sealed_blocks;
mod size;

use crate::blocks::{BLOCK_BYTES, DIGEST_BYTES, block_digest, contents_length, root_digest};
use crate::identity::Identity;
use crate::keys::{PublicKey, SigningKey, Trust, TrustedBy, UserKey};
use record::{HAS_MAC, HAS_SIGNATURE, SealRecord};

pub use seal_error::SealError;
pub use sealed_blocks::SealedBlocks;
pub use size::{SEAL_BYTES, seal_bytes};

/// The size from which hashing on all cores pays off. One core takes 1.3 ms for this many bytes; starting rayon's
/// threads, which a program that only loads code does not need otherwise, takes 0.7 ms while the cores are busy.
const PARALLEL_BYTES: usize = 8 << 20;

/// The contents of a seal. They do not imply that the artifact is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealInfo {
    /// What the artifact was sealed as.
    pub identity: Identity,
    /// The BLAKE3 digest of the contents, as `b3sum` prints it for that part.
    pub digest: [u8; 32],
    /// Whether the seal has a user's mac. Only that user's key can verify it.
    pub mac: bool,
    /// The key that signed it. The signature has been verified.
    pub signer: Option<PublicKey>,
}

/// Writes a seal for `identity` over the last bytes of the artifact: as many as [`seal_bytes`] returns for the bytes
/// before them.
///
/// ```
/// use belljar_cache::{ArtifactKind, Identity, Key, SEAL_BYTES, SigningKey, Trust, TrustedBy, check, seal_native_code};
///
/// let signer = SigningKey::generate()?;
/// let module = Identity { kind: ArtifactKind::Module, key: Key([7; 32]) };
/// let mut artifact = b"code".to_vec();
/// artifact.resize(4 + SEAL_BYTES, 0);
/// seal_native_code(&mut artifact, module, None, Some(&signer))?;
///
/// let keys = [signer.public().named("ada")?].into_iter().collect();
/// let trust = Trust { user: None, keys };
/// assert_eq!(check(&artifact, module, &trust)?, TrustedBy::Key(signer.public()));
/// let entry = Identity { kind: ArtifactKind::CacheEntry, ..module };
/// assert!(check(&artifact, entry, &trust).is_err(), "it is taken for nothing else");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Returns [`SealError::TooShort`] if there is no room for a seal, [`SealError::NoRoom`] if no contents have a seal that makes up
/// this total, and [`SealError::NoKey`] if neither key is given.
pub fn seal_native_code(
    artifact: &mut [u8],
    identity: Identity,
    user: Option<&UserKey>,
    signer: Option<&SigningKey>,
) -> Result<(), SealError> {
    if user.is_none() && signer.is_none() {
        return Err(SealError::NoKey);
    }
    let bytes = artifact.len();
    let Some((before, end)) = artifact.split_last_chunk_mut::<SEAL_BYTES>() else {
        return Err(SealError::TooShort { bytes });
    };
    let contents = contents_length(before.len()).ok_or(SealError::NoRoom { bytes })?;
    let (contents, digests) = before.split_at_mut(contents);
    for (i, digest) in digests.as_chunks_mut::<DIGEST_BYTES>().0.iter_mut().enumerate() {
        *digest = block_digest(i, block(contents, i));
    }
    let flag = |present, flag| if present { flag } else { 0 };
    let mut seal = SealRecord {
        flags: flag(user.is_some(), HAS_MAC) | flag(signer.is_some(), HAS_SIGNATURE),
        identity,
        digest: *digest(contents).as_bytes(),
        mac: [0; 32],
        signer: [0; 32],
        signature: [0; 64],
    };
    if let Some(user) = user {
        seal.mac = *user.mac(&seal.mac_message()).as_bytes();
    }
    if let Some(signer) = signer {
        seal.signer = *signer.public().as_bytes();
        seal.signature = signer.sign(&seal.signature_message());
    }
    *end = seal.to_bytes();
    Ok(())
}

/// Checks every byte of an artifact and its seal. Returns who vouches that the artifact is what `expected` says.
///
/// The answer holds for these bytes, so they must be immutable afterwards: a sealed copy in memory, for example, not a
/// mapped file.
///
/// # Errors
/// Returns [`SealError::Untrusted`] if the seal is intact but not made with a trusted key, [`SealError::OtherIdentity`] if a trusted
/// key sealed it as something else, and the other variants if the seal is damaged or missing.
pub fn check(artifact: &[u8], expected: Identity, trust: &Trust) -> Result<TrustedBy, SealError> {
    let (seal, signer) = read_seal(artifact)?;
    seal.trusted_for(expected, signer, trust)
}

/// Returns the contents of an artifact's seal for display. This checks no trust: use [`check`] before executing an
/// artifact.
///
/// # Errors
/// Returns the errors of [`check`], except that any signer and any identity are accepted.
pub fn seal_of(artifact: &[u8]) -> Result<SealInfo, SealError> {
    let (seal, signer) = read_seal(artifact)?;
    Ok(SealInfo { identity: seal.identity, digest: seal.digest, mac: seal.has(HAS_MAC), signer })
}

/// Returns the digest that an artifact's seal has, without any check of the artifact: it tells artifacts apart that are checked
/// when they are used.
///
/// # Errors
/// Returns [`SealError::TooShort`] or [`SealError::NotSealed`] if there is no seal.
pub fn recorded_digest(artifact: &[u8]) -> Result<[u8; 32], SealError> {
    match artifact.last_chunk::<SEAL_BYTES>() {
        Some(end) => SealRecord::from_bytes(end).map(|seal| seal.digest),
        None => Err(SealError::TooShort { bytes: artifact.len() }),
    }
}

/// Reads the seal of an artifact and verifies the digest and the signature. Returns the seal and its signer.
fn read_seal(artifact: &[u8]) -> Result<(SealRecord, Option<PublicKey>), SealError> {
    let Some((before, end)) = artifact.split_last_chunk::<SEAL_BYTES>() else {
        return Err(SealError::TooShort { bytes: artifact.len() });
    };
    let seal = SealRecord::from_bytes(end)?;
    let contents = contents_length(before.len()).ok_or(SealError::Damaged)?;
    let (contents, digests) = before.split_at(contents);
    let (digests, _) = digests.as_chunks::<DIGEST_BYTES>();
    let expected = blake3::Hash::from_bytes(seal.digest);
    if digest(contents) != expected || (!digests.is_empty() && root_digest(digests) != expected) {
        return Err(SealError::Damaged);
    }
    let signer = seal.signer()?;
    Ok((seal, signer))
}

fn digest(contents: &[u8]) -> blake3::Hash {
    if contents.len() < PARALLEL_BYTES {
        return blake3::hash(contents);
    }
    belljar_parallel::run(|| blake3::Hasher::new().update_rayon(contents).finalize())
}

/// Returns one block of the contents.
fn block(contents: &[u8], index: usize) -> &[u8] {
    let start = index * BLOCK_BYTES;
    &contents[start..contents.len().min(start + BLOCK_BYTES)]
}
