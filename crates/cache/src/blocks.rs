//! A BLAKE3 digest as a tree over blocks of equal size, with which one block of an artifact is checked alone.
//!
//! In: contents, or the digests of their blocks. Out: digests, and whether a block is the one that was sealed. Checking
//! a block never allocates or fails, so a signal handler can do it.
//!
//! The digest of a block is what BLAKE3 calls the chaining value of a subtree, so the digests of all blocks determine
//! the digest of the whole (BLAKE3 paper, section 2.1). Only the root digest has to be authenticated.

use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use blake3::{Hash, Hasher};

/// Bytes of a block. Reading one byte means reading and hashing a whole block; smaller blocks would cost more per byte,
/// in page faults and system calls.
pub const BLOCK_BYTES: usize = 64 << 10;

/// Bytes of a block's digest.
pub(crate) const DIGEST_BYTES: usize = 32;

/// Returns how many block digests go with contents of a length: 0 for a single block, whose digest is the root digest.
pub(crate) fn digest_count(contents: usize) -> usize {
    match contents.div_ceil(BLOCK_BYTES) {
        1 => 0,
        blocks => blocks,
    }
}

/// Returns the length of contents that are followed by their digests, given the length of both; `None` if no contents
/// have that total.
pub(crate) fn contents_length(both: usize) -> Option<usize> {
    if both <= BLOCK_BYTES {
        return Some(both);
    }
    let contents = both - both.div_ceil(BLOCK_BYTES + DIGEST_BYTES) * DIGEST_BYTES;
    (contents + digest_count(contents) * DIGEST_BYTES == both).then_some(contents)
}

/// Returns the digest of one block of several.
pub(crate) fn block_digest(index: usize, block: &[u8]) -> ChainingValue {
    Hasher::new().set_input_offset((index * BLOCK_BYTES) as u64).update(block).finalize_non_root()
}

/// Returns the digest of the whole, given the digests of its blocks. There must be at least two.
pub(crate) fn root_digest(digests: &[ChainingValue]) -> Hash {
    let (left, right) = halves(digests);
    merge_subtrees_root(&subtree_digest(left), &subtree_digest(right), Mode::Hash)
}

fn subtree_digest(digests: &[ChainingValue]) -> ChainingValue {
    match digests {
        [digest] => *digest,
        _ => {
            let (left, right) = halves(digests);
            merge_subtrees_non_root(&subtree_digest(left), &subtree_digest(right), Mode::Hash)
        }
    }
}

/// Splits the digests of a subtree: the left half is the largest complete subtree that leaves something to the right.
fn halves(digests: &[ChainingValue]) -> (&[ChainingValue], &[ChainingValue]) {
    digests.split_at(digests.len().next_power_of_two() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_blocks_make_up_that_of_the_whole() {
        for blocks in (2..20).chain([31, 32, 33, 100]) {
            for last in [1, 1023, 1024, 1025, BLOCK_BYTES] {
                let length = (blocks - 1) * BLOCK_BYTES + last;
                let contents: Vec<u8> = (0..length).map(|i| (i / 7) as u8).collect();
                let digests: Vec<_> = contents
                    .chunks(BLOCK_BYTES)
                    .enumerate()
                    .map(|(i, block)| block_digest(i, block))
                    .collect();
                assert_eq!(digests.len(), digest_count(length));
                assert_eq!(root_digest(&digests), blake3::hash(&contents), "{length}");
            }
        }
    }

    #[test]
    fn the_length_of_contents_is_found_again() {
        let both = |contents: usize| contents + digest_count(contents) * DIGEST_BYTES;
        let mut lengths = vec![0, 1, 2];
        for blocks in 1..70 {
            lengths.extend((0..5).map(|i| blocks * BLOCK_BYTES + i - 2));
        }
        for contents in &lengths {
            assert_eq!(contents_length(both(*contents)), Some(*contents));
        }
        // One more block makes the total longer by more than one byte, so no contents have the totals in between.
        assert_eq!(contents_length(BLOCK_BYTES + 1), None);
        assert_eq!(contents_length(both(BLOCK_BYTES + 1) - 1), None);
        assert_eq!(contents_length(both(2 * BLOCK_BYTES) + 1), None);
    }
}
