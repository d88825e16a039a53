//! How many bytes a guest may read and write, and what of that is left.
//!
//! In: lists of buffers. Out: the same, cut to what is left. Never: a byte more than was allowed, however many threads the guest has:
//! what a call may move is taken before it, and what it has not moved is given back.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory::Iovecs;

/// A number of bytes that calls use up.
#[derive(Debug)]
pub(crate) struct ByteQuota {
    total: Option<u64>,
    used: AtomicU64,
}

/// Bytes that a call may move.
pub(crate) struct ReservedBytes<'a> {
    from: &'a ByteQuota,
    bytes: u64,
    /// Whether the buffers held more.
    pub(crate) is_cut: bool,
}

impl ByteQuota {
    /// So many bytes; `None`: any number.
    pub(crate) fn new(total: Option<u64>) -> ByteQuota {
        ByteQuota { total, used: AtomicU64::new(0) }
    }

    /// So many bytes, of a total that somebody set.
    pub(crate) fn total(&self) -> u64 {
        self.total.unwrap_or(u64::MAX)
    }

    /// Takes what the buffers hold, or cuts them to what is left. `None` where nothing is left, and something is wanted.
    pub(crate) fn reserve(&self, list: &mut Iovecs) -> Option<ReservedBytes<'_>> {
        let Some(total) = self.total else {
            return Some(ReservedBytes { from: self, bytes: 0, is_cut: false });
        };
        let wanted: u64 = list.iter().map(|range| range.len() as u64).sum();
        let after = |used: u64| used + wanted.min(total - used);
        let take = |used: u64| Some(after(used));
        let used = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or_default();
        let bytes = after(used) - used;
        if bytes == 0 && wanted > 0 {
            return None;
        }
        let mut left = bytes as usize;
        for range in list.iter_mut() {
            range.end = range.end.min(range.start + left);
            left -= range.len();
        }
        list.retain(|range| range.start < range.end);
        Some(ReservedBytes { from: self, bytes, is_cut: bytes < wanted })
    }
}

impl ReservedBytes<'_> {
    /// The call has moved so many; the rest is given back. Without this, all is.
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
