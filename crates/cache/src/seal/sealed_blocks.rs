//! A verified seal whose blocks are checked one by one.

use super::record::SealRecord;
use super::seal_error::SealError;
use super::size::SEAL_BYTES;
use crate::blocks::{BLOCK_BYTES, DIGEST_BYTES, block_digest, contents_length, digest_count, root_digest};
use crate::identity::Identity;
use crate::keys::{Trust, TrustedBy};

/// The seal of a trusted artifact, with which its blocks are checked one by one as they are needed.
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
    /// Returns how many bytes of a sealed artifact of this length are contents; `None` if no artifact has this length,
    /// or if its contents are a single block.
    pub fn contents_of(artifact: usize) -> Option<usize> {
        contents_length(artifact.checked_sub(SEAL_BYTES)?).filter(|contents| *contents > BLOCK_BYTES)
    }

    /// Checks the last [`SEAL_BYTES`] alone: whether a trusted key vouches for anything at all. This avoids reading the
    /// digests of a long file that is not trusted.
    ///
    /// # Errors
    /// Returns the errors of [`SealedBlocks::check`].
    pub fn check_end(end: &[u8; SEAL_BYTES], trust: &Trust) -> Result<TrustedBy, SealError> {
        let seal = SealRecord::from_bytes(end)?;
        seal.trusted_by(seal.signer()?, trust)
    }

    /// Checks a seal, including the digests of the blocks, but not the `contents` bytes that it covers:
    /// [`SealedBlocks::holds`] checks those. The caller must compare what the artifact turns out to be with
    /// [`SealedBlocks::identity`].
    ///
    /// # Errors
    /// Returns the errors of [`check`](super::check), except that any identity is accepted.
    pub fn check(seal: &[u8], contents: usize, trust: &Trust) -> Result<Self, SealError> {
        let Some((digests, end)) = seal.split_last_chunk::<SEAL_BYTES>() else {
            return Err(SealError::TooShort { bytes: seal.len() });
        };
        let read = SealRecord::from_bytes(end)?;
        let (digests, rest) = digests.as_chunks::<DIGEST_BYTES>();
        if digests.is_empty() || !rest.is_empty() || digests.len() != digest_count(contents) {
            return Err(SealError::Damaged);
        }
        if root_digest(digests) != blake3::Hash::from_bytes(read.digest) {
            return Err(SealError::Damaged);
        }
        let trusted_by = read.trusted_by(read.signer()?, trust)?;
        Ok(Self { contents, digests: digests.into(), identity: read.identity, trusted_by })
    }

    /// Returns whether a block is the one that was sealed. Takes no lock and allocates nothing.
    pub fn holds(&self, index: usize, bytes: &[u8]) -> bool {
        let length = self.contents.saturating_sub(index * BLOCK_BYTES).min(BLOCK_BYTES);
        bytes.len() == length
            && self.digests.get(index).is_some_and(|digest| block_digest(index, bytes) == *digest)
    }

    /// Returns what the blocks were sealed as.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns which key makes them trusted.
    pub fn trusted_by(&self) -> TrustedBy {
        self.trusted_by
    }
}
