//! Amounts that a guest may have of something: bytes of header fields, requests in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// An amount that is shared by everything that one guest has. Clones are the same budget.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Amounts>);

#[derive(Debug)]
struct Amounts {
    used: AtomicUsize,
    limit: AtomicUsize,
}

/// A part of a [`Budget`] that is in use as long as this lives.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Budget,
    amount: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Amounts { used: AtomicUsize::new(0), limit: AtomicUsize::new(limit) }))
    }

    /// Sets the limit. What is in use stays in use, even if it is more.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.0.limit.store(limit, Relaxed);
    }

    pub(crate) fn limit(&self) -> usize {
        self.0.limit.load(Relaxed)
    }

    fn add(&self, amount: usize) -> bool {
        let limit = self.limit();
        let more = |used: usize| used.checked_add(amount).filter(|sum| *sum <= limit);
        self.0.used.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Takes a part of it; `None` if that is more than is left.
    pub(crate) fn charge(&self, amount: usize) -> Option<Charge> {
        self.add(amount).then(|| Charge { budget: self.clone(), amount })
    }
}

impl Charge {
    pub(crate) fn amount(&self) -> usize {
        self.amount
    }

    /// Takes a copy of the charge from the same budget.
    pub(crate) fn again(&self) -> Option<Self> {
        self.budget.charge(self.amount)
    }

    /// Changes the amount. Returns false, and changes nothing, if that is more than is left.
    pub(crate) fn change_to(&mut self, amount: usize) -> bool {
        let fits = match amount.checked_sub(self.amount) {
            Some(more) => self.budget.add(more),
            None => {
                self.budget.0.used.fetch_sub(self.amount - amount, Relaxed);
                true
            }
        };
        if fits {
            self.amount = amount;
        }
        fits
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.amount, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_are_given_back() {
        let budget = Budget::new(10);
        let mut first = budget.charge(6).unwrap();
        assert!(budget.charge(5).is_none() && first.again().is_none());
        assert!(!first.change_to(11) && first.change_to(2) && first.change_to(3));
        let second = first.again().unwrap();
        assert!(budget.charge(4).is_some() && budget.charge(5).is_none());
        drop((first, second));
        assert_eq!(budget.charge(10).unwrap().amount(), 10);
        budget.set_limit(0);
        assert!(budget.charge(1).is_none() && budget.charge(0).is_some());
        assert!(budget.charge(usize::MAX).is_none());
    }
}
