//! Limits on how many bytes a guest may read and write.
//!
//! In: lists of buffers. Out: the same lists, cut to the remaining quota. Never: more bytes than the limit, however
//! many threads the guest has: each call reserves bytes before it moves them, and gives back what it did not move.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory::Iovecs;

/// A number of bytes that calls may use up.
#[derive(Debug)]
pub(crate) struct ByteQuota {
    total: Option<u64>,
    used: AtomicU64,
}

/// Bytes that are reserved for one call.
pub(crate) struct ReservedBytes<'a> {
    from: &'a ByteQuota,
    bytes: u64,
    /// Whether the buffers were larger than the remaining quota.
    pub(crate) is_cut: bool,
}

impl ByteQuota {
    /// Creates a quota of `total` bytes; `None` means no limit.
    pub(crate) fn new(total: Option<u64>) -> ByteQuota {
        ByteQuota { total, used: AtomicU64::new(0) }
    }

    /// Returns the limit, or `u64::MAX` if there is none.
    pub(crate) fn total(&self) -> u64 {
        self.total.unwrap_or(u64::MAX)
    }

    /// Reserves the buffers' bytes, or cuts the buffers to the remaining quota. Returns `None` if nothing is left for a
    /// nonempty list.
    pub(crate) fn reserve(&self, list: &mut Iovecs) -> Option<ReservedBytes<'_>> {
        let reserved = self.reserve_count(list.iter().map(|range| range.len() as u64).sum())?;
        let mut left = reserved.bytes as usize;
        if reserved.is_cut {
            for range in list.iter_mut() {
                range.end = range.end.min(range.start + left);
                left -= range.len();
            }
            list.retain(|range| range.start < range.end);
        }
        Some(reserved)
    }

    /// Reserves a number of bytes, or what is left of the quota. Returns `None` if nothing is left.
    pub(crate) fn reserve_count(&self, wanted: u64) -> Option<ReservedBytes<'_>> {
        let Some(total) = self.total else {
            return Some(ReservedBytes { from: self, bytes: wanted, is_cut: false });
        };
        let after = |used: u64| used + wanted.min(total - used);
        let take = |used: u64| Some(after(used));
        let used = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or_default();
        let bytes = after(used) - used;
        if bytes == 0 && wanted > 0 {
            return None;
        }
        Some(ReservedBytes { from: self, bytes, is_cut: bytes < wanted })
    }
}

impl ReservedBytes<'_> {
    /// Returns how many bytes are reserved.
    pub(crate) fn count(&self) -> u64 {
        self.bytes
    }

    /// Keeps `count` bytes, which the call has moved, and gives back the rest. Without this call, all bytes are given back.
    pub(crate) fn commit(mut self, count: usize) {
        self.bytes = self.bytes.saturating_sub(count as u64);
    }
}

impl Drop for ReservedBytes<'_> {
    fn drop(&mut self) {
        if self.from.total.is_some() {
            self.from.used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(quota: &ByteQuota, mut list: Iovecs, moved: usize) -> Option<Iovecs> {
        quota.reserve(&mut list)?.commit(moved);
        Some(list)
    }

    #[test]
    fn buffers_are_cut_and_what_is_not_moved_is_given_back() {
        let quota = ByteQuota::new(Some(10));
        let list = || Iovecs::from_vec(vec![0..4, 10..14, 20..24]);
        assert_eq!(take(&quota, list(), 0), Some(Iovecs::from_vec(vec![0..4, 10..14, 20..22])));
        assert_eq!(take(&quota, list(), 9), Some(Iovecs::from_vec(vec![0..4, 10..14, 20..22])));
        drop(quota.reserve(&mut list()));
        assert_eq!(take(&quota, list(), 1), Some(Iovecs::from_iter(std::iter::once(0..1))));
        assert_eq!(take(&quota, list(), 1), None);
        assert_eq!(take(&quota, Iovecs::new(), 0), Some(Iovecs::new()));
        assert_eq!(take(&ByteQuota::new(None), list(), 12), Some(list()));
    }
}
