//! The size of a seal.

use crate::blocks::{DIGEST_BYTES, digest_count};

/// Bytes of the fixed part at an artifact's end. The digests of blocks come before it: see [`seal_bytes`].
pub const SEAL_BYTES: usize = 256;

/// Returns how many bytes the seal of contents of this length takes, including the digests of blocks.
pub fn seal_bytes(contents: usize) -> usize {
    digest_count(contents) * DIGEST_BYTES + SEAL_BYTES
}
