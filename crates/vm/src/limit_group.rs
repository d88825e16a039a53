//! The usage of several stores that belong to one guest, such as those of its threads.
//!
//! In: the usage of each store of the group, after each change. Out: permission, or the resulting sum, when a store
//! wants more. Never: a sum that two stores can exceed by asking at the same time, or that counts a store that is gone.
//!
//! ```text
//! growth: Reservation::reserve ─▶ the sum grows ─▶ StoreCore::commit_group: the share is set to the usage
//!                │ refused                    └──▶ dropped: the sum is as before
//! ```

use crate::quota::Limit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is counted together. Only memories that a store has for itself are counted; a shared memory belongs to no
/// single store.
pub(crate) const COUNTED: [Limit; 5] =
    [Limit::TableElements, Limit::GcHeap, Limit::Instances, Limit::Tables, Limit::Memories];

/// One number for each of them.
type Amounts = [u64; COUNTED.len()];

fn place(limit: Limit) -> Option<usize> {
    COUNTED.iter().position(|counted| *counted == limit)
}

/// Stores whose usage is counted together.
#[derive(Debug, Default)]
pub struct LimitGroup {
    used: [AtomicU64; COUNTED.len()],
}

impl LimitGroup {
    /// Returns the usage of all stores together; `None` if the resource is limited per store.
    pub fn used(&self, limit: Limit) -> Option<u64> {
        Some(self.used[place(limit)?].load(Relaxed))
    }

    /// Adds to the sum, unless that exceeds a limit. The error is the sum that would have resulted.
    fn take(&self, place: usize, more: u64, allowed: Option<u64>) -> Result<(), u64> {
        let allowed = allowed.unwrap_or(u64::MAX);
        let sum = |used: u64| used.checked_add(more).filter(|sum| *sum <= allowed);
        let taken = self.used[place].fetch_update(Relaxed, Relaxed, sum);
        taken.map(|_| ()).map_err(|used| used.saturating_add(more))
    }

    fn change(&self, place: usize, from: u64, to: u64) {
        // The caller has added `from`, and takes away no more than that.
        self.used[place].fetch_add(to.wrapping_sub(from), Relaxed);
    }
}

/// A store's share of a group.
#[derive(Debug)]
pub(crate) struct GroupShare {
    pub(crate) group: Arc<LimitGroup>,
    /// The part of the sum that belongs to this store.
    counted: Amounts,
}

impl GroupShare {
    /// Creates the share of a store that uses nothing yet.
    pub(crate) fn new(group: Arc<LimitGroup>) -> Self {
        Self { group, counted: Amounts::default() }
    }

    /// Creates a reservation for growth that is about to be decided.
    pub(crate) fn reservation(&self) -> Reservation {
        Reservation { group: self.group.clone(), counted: self.counted, taken: Amounts::default() }
    }

    /// Takes over what was reserved. The sum does not change, so that no other store is refused, or admitted, in
    /// between.
    pub(crate) fn take_over(&mut self, mut reservation: Reservation) {
        if !Arc::ptr_eq(&self.group, &reservation.group) {
            return;
        }
        for (counted, taken) in self.counted.iter_mut().zip(std::mem::take(&mut reservation.taken)) {
            *counted += taken;
        }
    }

    pub(crate) fn set(&mut self, now: Amounts) {
        for (place, now) in now.into_iter().enumerate() {
            let before = std::mem::replace(&mut self.counted[place], now);
            self.group.change(place, before, now);
        }
    }
}

impl Drop for GroupShare {
    fn drop(&mut self) {
        self.set(Amounts::default());
    }
}

/// What a store takes of its group for growth that is being decided.
#[derive(Debug)]
pub(crate) struct Reservation {
    group: Arc<LimitGroup>,
    /// The store's current share.
    counted: Amounts,
    taken: Amounts,
}

impl Reservation {
    /// Reserves what the store needs to have `own` of a resource.
    ///
    /// # Errors
    ///
    /// Returns the sum that would have resulted, if it exceeds what is allowed.
    pub(crate) fn reserve(&mut self, limit: Limit, own: u64, allowed: Option<u64>) -> Result<(), u64> {
        let Some(place) = place(limit) else { return Ok(()) };
        let more = own.saturating_sub(self.counted[place]).saturating_sub(self.taken[place]);
        self.group.take(place, more, allowed)?;
        self.taken[place] += more;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for (place, taken) in self.taken.iter().enumerate() {
            self.group.change(place, *taken, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reservation(group: &Arc<LimitGroup>, counted: u64) -> Reservation {
        let counted = [counted; COUNTED.len()];
        Reservation { group: group.clone(), counted, taken: Amounts::default() }
    }

    #[test]
    fn what_is_not_kept_is_given_back() {
        let group = Arc::<LimitGroup>::default();
        let mut share = GroupShare { group: group.clone(), counted: Amounts::default() };
        share.set([3; COUNTED.len()]);
        let mut first = reservation(&group, 3);
        assert_eq!(first.reserve(Limit::Tables, 10, Some(10)), Ok(()));
        // The store has that already.
        assert_eq!(first.reserve(Limit::Tables, 9, Some(10)), Ok(()));
        assert_eq!(group.used(Limit::Tables), Some(10));
        assert_eq!(reservation(&group, 0).reserve(Limit::Tables, 1, Some(10)), Err(11));
        assert_eq!(reservation(&group, 0).reserve(Limit::Tables, u64::MAX, None), Err(u64::MAX));
        drop(first);
        assert_eq!(group.used(Limit::Tables), Some(3));
        let mut second = reservation(&group, 3);
        assert_eq!(second.reserve(Limit::Tables, 8, Some(10)), Ok(()));
        share.take_over(second);
        assert_eq!((group.used(Limit::Tables), share.counted[3]), (Some(8), 8));
        share.set([1; COUNTED.len()]);
        assert_eq!(group.used(Limit::Tables), Some(1));
        drop(share);
        assert!(COUNTED.iter().all(|limit| group.used(*limit) == Some(0)));
        assert_eq!(group.used(Limit::Wall), None);
    }

    #[test]
    fn stores_that_ask_at_once_do_not_exceed_it_together() {
        let group = Arc::<LimitGroup>::default();
        let granted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let mut asks = reservation(&group, 0);
                        if asks.reserve(Limit::GcHeap, 7, Some(1000)).is_ok() {
                            granted.fetch_add(7, Relaxed);
                            std::mem::forget(asks);
                        }
                    }
                });
            }
        });
        assert_eq!(granted.into_inner(), 994);
        assert_eq!(group.used(Limit::GcHeap), Some(994));
    }
}
