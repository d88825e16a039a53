//! The seal at the end of an artifact: what it is, a digest of all before it, and who vouches for both.
//!
//! In: an artifact's bytes, its [`Identity`] and the keys. Out: bytes with a seal, or who made the seal that is there; of a
//! part of the bytes, whether it is what was sealed. Never: says that bytes are trusted without having read every one of them,
//! or as something that they were not sealed as.
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
//! Contents of more than one block of [`BLOCK_BYTES`] have a digest for each: those are nodes of the tree that BLAKE3 is,
//! and the whole's digest follows from them. A part that is absent is zero. **Invariant:** a change of any byte of a sealed
//! artifact is refused. Contents and blocks' digests are covered by the digest; flags, kind, key and digest by the mac and
//! the signature; the mac by
//! itself if it is what gives trust, else by the signature; signer and signature by the rule that a signature
//! that is present must be right, whoever is trusted; the rest has only one allowed value.
//! **Invariant:** whoever checks says what the bytes must be, and gets no other kind and no other key's.
//!
//! BLAKE3: O'Connor, Aumasson, Neves, Wilcox-O'Hearn, *BLAKE3: one function, fast everywhere*, 2020. Ed25519:
//! RFC 8032, with the stricter checks of `verify_strict`, so that nobody can make a key that fits any
//! message.

use crate::blocks::{
    BLOCK_BYTES, DIGEST_BYTES, block_digest, contents_before_digests, digests_of, whole_digest,
};
use crate::error::SealError;
use crate::identity::{ArtifactKind, Identity};
use crate::key::Key;
use crate::keys::{PublicKey, SigningKey, Trust, UserKey};

/// How many bytes at an artifact's end say who made it. Digests of blocks come before them: see [`seal_bytes`].
pub const SEAL_BYTES: usize = 256;

/// How many bytes a seal of contents of a length takes, digests of blocks included.
pub fn seal_bytes(contents: usize) -> usize {
    digests_of(contents) * DIGEST_BYTES + SEAL_BYTES
}

/// Hashing on all cores pays off from about this many bytes on. One core takes 1.3 ms for them; starting
/// rayon's threads, for which a program that only loads code has no other use, takes 0.7 ms while the cores
/// are busy.
const PARALLEL_BYTES: usize = 8 << 20;

/// The last byte is in no text, so that no text has a seal.
const MAGIC: [u8; 8] = *b"belljar\x1a";
const VERSION: u32 = 3;
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
    /// What the artifact was sealed as.
    pub identity: Identity,
    /// BLAKE3 of the contents, as `b3sum` prints it for that part.
    pub digest: [u8; 32],
    /// Whether some user vouches for it. Only that user's key tells whether this is true.
    pub mac: bool,
    /// Who signed it. The signature is right.
    pub signer: Option<PublicKey>,
}

/// Writes a seal over the last bytes: as many as [`seal_bytes`] says of what is before them. It says that they are what
/// `identity` says.
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
/// [`SealError::TooShort`] if there are fewer bytes than that; [`SealError::NoRoom`] if no contents have a seal that makes up
/// that many; [`SealError::NoKey`] without any key.
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
    let contents = contents_before_digests(before.len()).ok_or(SealError::NoRoom { bytes })?;
    let (contents, digests) = before.split_at_mut(contents);
    for (i, digest) in digests.as_chunks_mut::<DIGEST_BYTES>().0.iter_mut().enumerate() {
        *digest = block_digest(i, block(contents, i));
    }
    let flag = |present, flag| if present { flag } else { 0 };
    let mut seal = Seal {
        flags: flag(user.is_some(), HAS_MAC) | flag(signer.is_some(), HAS_SIGNATURE),
        identity,
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

/// Checks every byte of an artifact and its seal, and says who vouches for it: for its being what `expected` says.
///
/// The answer is about these bytes: they must be ones that nobody can change afterwards, such as a sealed
/// copy in memory, not a mapped file.
///
/// # Errors
/// [`SealError::Untrusted`] if the seal is whole and made by somebody else; [`SealError::OtherIdentity`] if it was made by
/// somebody who is trusted, for something else; the other variants if it is not whole, or not there.
pub fn check(artifact: &[u8], expected: Identity, trust: &Trust) -> Result<TrustedBy, SealError> {
    let (seal, signer) = whole_seal(artifact)?;
    seal.trusted_as(expected, signer, trust)
}

/// The seal of an artifact that is trusted, with which its blocks are checked one by one, as they are needed.
///
/// ```
/// use belljar_cache::{
///     ArtifactKind, BLOCK_BYTES, Identity, Key, SealedBlocks, Trust, TrustedBy, UserKey, seal_native_code, seal_bytes,
/// };
///
/// let user = UserKey::from_bytes([7; 32]);
/// let module = Identity { kind: ArtifactKind::Module, key: Key([1; 32]) };
/// let contents = 2 * BLOCK_BYTES + 5;
/// let mut artifact = vec![0x90; contents + seal_bytes(contents)];
/// seal_native_code(&mut artifact, module, Some(&user), None)?;
///
/// let trust = Trust { user: Some(user), ..Trust::default() };
/// let sealed = SealedBlocks::check(&artifact[contents..], contents, &trust)?;
/// assert_eq!((sealed.trusted_by(), sealed.identity()), (TrustedBy::User, module));
/// assert!(sealed.holds(0, &artifact[..BLOCK_BYTES]));
/// assert!(!sealed.holds(1, &[0; BLOCK_BYTES]));
/// assert!(sealed.holds(2, &[0x90; 5]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SealedBlocks {
    contents: usize,
    digests: Box<[[u8; DIGEST_BYTES]]>,
    identity: Identity,
    trusted_by: TrustedBy,
}

impl SealedBlocks {
    /// How many bytes of a sealed artifact of a length are its contents; `None` where no artifact has that length, or only
    /// one that is a single block.
    pub fn contents_of(artifact: usize) -> Option<usize> {
        contents_before_digests(artifact.checked_sub(SEAL_BYTES)?).filter(|contents| *contents > BLOCK_BYTES)
    }

    /// Checks the last [`SEAL_BYTES`] alone: whether somebody who is trusted vouches for anything at all. A long file's
    /// digests need not be read before.
    ///
    /// # Errors
    /// As [`SealedBlocks::check`].
    pub fn check_end(end: &[u8; SEAL_BYTES], trust: &Trust) -> Result<TrustedBy, SealError> {
        let seal = Seal::from_bytes(end)?;
        seal.trusted_by(seal.signer()?, trust)
    }

    /// Checks a seal, of which blocks' digests are a part, but not the `contents` bytes that it is for: those are to be
    /// asked for with [`SealedBlocks::holds`]. What they are is not known before they are read: whoever uses them compares it
    /// with [`SealedBlocks::identity`].
    ///
    /// # Errors
    /// As [`check`], except that it may be anything.
    pub fn check(seal: &[u8], contents: usize, trust: &Trust) -> Result<Self, SealError> {
        let Some((digests, end)) = seal.split_last_chunk::<SEAL_BYTES>() else {
            return Err(SealError::TooShort { bytes: seal.len() });
        };
        let read = Seal::from_bytes(end)?;
        let (digests, rest) = digests.as_chunks::<DIGEST_BYTES>();
        if digests.is_empty() || !rest.is_empty() || digests.len() != digests_of(contents) {
            return Err(SealError::Damaged);
        }
        if whole_digest(digests) != blake3::Hash::from_bytes(read.digest) {
            return Err(SealError::Damaged);
        }
        let trusted_by = read.trusted_by(read.signer()?, trust)?;
        Ok(Self { contents, digests: digests.into(), identity: read.identity, trusted_by })
    }

    /// Whether a block is the one that was sealed. Takes no lock and allocates nothing.
    pub fn holds(&self, index: usize, bytes: &[u8]) -> bool {
        let length = self.contents.saturating_sub(index * BLOCK_BYTES).min(BLOCK_BYTES);
        bytes.len() == length
            && self.digests.get(index).is_some_and(|digest| block_digest(index, bytes) == *digest)
    }

    /// What they were sealed as.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whose word they are trusted on.
    pub fn trusted_by(&self) -> TrustedBy {
        self.trusted_by
    }
}

/// What the seal of an artifact says. This trusts nobody: it is for showing, [`check`] is for running.
///
/// # Errors
/// As [`check`], except that the seal may be made by anybody, for anything.
pub fn seal_of(artifact: &[u8]) -> Result<SealInfo, SealError> {
    let (seal, signer) = whole_seal(artifact)?;
    Ok(SealInfo { identity: seal.identity, digest: seal.digest, mac: seal.has(HAS_MAC), signer })
}

/// The seal of an artifact, if the artifact is what was sealed and signed, and who signed it.
fn whole_seal(artifact: &[u8]) -> Result<(Seal, Option<PublicKey>), SealError> {
    let Some((before, end)) = artifact.split_last_chunk::<SEAL_BYTES>() else {
        return Err(SealError::TooShort { bytes: artifact.len() });
    };
    let seal = Seal::from_bytes(end)?;
    let contents = contents_before_digests(before.len()).ok_or(SealError::Damaged)?;
    let (contents, digests) = before.split_at(contents);
    let (digests, _) = digests.as_chunks::<DIGEST_BYTES>();
    let expected = blake3::Hash::from_bytes(seal.digest);
    if digest(contents) != expected || (!digests.is_empty() && whole_digest(digests) != expected) {
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

/// A block of contents that have it.
fn block(contents: &[u8], index: usize) -> &[u8] {
    let start = index * BLOCK_BYTES;
    &contents[start..contents.len().min(start + BLOCK_BYTES)]
}

/// The parts of a seal that can differ.
struct Seal {
    flags: u32,
    identity: Identity,
    digest: [u8; 32],
    mac: [u8; 32],
    signer: [u8; 32],
    signature: [u8; 64],
}

impl Seal {
    const MAC_AT: usize = 96;
    const SIGNER_AT: usize = 128;

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn to_bytes(&self) -> [u8; SEAL_BYTES] {
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
        let refused = |what| Err(SealError::NotCanonical { what });
        let flags = u32::from_le_bytes(take(&mut rest));
        let Some(kind) = ArtifactKind::of_number(u32::from_le_bytes(take(&mut rest))) else {
            return refused("its kind is none that is ever written");
        };
        if take::<12>(&mut rest) != [0; 12] {
            return refused("its reserved bytes are not zero");
        }
        let seal = Seal {
            flags,
            identity: Identity { kind, key: Key(take(&mut rest)) },
            digest: take(&mut rest),
            mac: take(&mut rest),
            signer: take(&mut rest),
            signature: take(&mut rest),
        };
        let is_zero = |bytes: &[u8]| bytes.iter().all(|b| *b == 0);
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

    /// Who signed it, if anybody did.
    fn signer(&self) -> Result<Option<PublicKey>, SealError> {
        if !self.has(HAS_SIGNATURE) {
            return Ok(None);
        }
        let signer = PublicKey::from_bytes(self.signer).map_err(|_| SealError::BadSignature)?;
        match signer.has_signed(&self.under_signature(), &self.signature) {
            true => Ok(Some(signer)),
            false => Err(SealError::BadSignature),
        }
    }

    /// Whose word it is trusted on, once its digest is known to be the artifact's.
    fn trusted_by(&self, signer: Option<PublicKey>, trust: &Trust) -> Result<TrustedBy, SealError> {
        if let Some(user) = &trust.user
            && self.has(HAS_MAC)
            // Comparing hashes takes the same time wherever they differ.
            && user.mac(&self.under_mac()) == blake3::Hash::from_bytes(self.mac)
        {
            return Ok(TrustedBy::User);
        }
        match signer {
            Some(key) if trust.keys.contains(&key) => Ok(TrustedBy::Key(key)),
            signer => Err(SealError::Untrusted { signer }),
        }
    }

    /// As [`Seal::trusted_by`], if it was made for what is expected.
    fn trusted_as(
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
