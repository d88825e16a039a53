//! Searches in the contents of memories.

/// Returns the position of the first byte that is not zero.
pub(crate) fn first_written(bytes: &[u8]) -> Option<usize> {
    // Comparing whole pages is many times faster than testing single bytes.
    const ZEROS: [u8; 4096] = [0; 4096];
    let piece = bytes.chunks(ZEROS.len()).position(|piece| piece != &ZEROS[..piece.len()])?;
    let start = piece * ZEROS.len();
    bytes[start..].iter().position(|byte| *byte != 0).map(|at| start + at)
}

/// Returns the position of the first byte in which two slices differ.
pub(crate) fn first_difference(now: &[u8], was: &[u8]) -> Option<usize> {
    if now == was {
        return None;
    }
    let same = now.iter().zip(was).take_while(|(a, b)| a == b).count();
    Some(same)
}
