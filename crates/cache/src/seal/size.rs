//! The size of a seal.

use crate::blocks::{DIGEST_BYTES, digest_count};

/// How many bytes at an artifact's end say who made it. Digests of blocks come before them: see [`seal_bytes`].
pub const SEAL_BYTES: usize = 256;

/// How many bytes a seal of contents of a length takes, digests of blocks included.
pub fn seal_bytes(contents: usize) -> usize {
    digest_count(contents) * DIGEST_BYTES + SEAL_BYTES
}
