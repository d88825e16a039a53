//! What `crate::sync` is in the checked files: the checker's types.
//!
//! The checker takes a sequentially consistent access for one that acquires and releases, and would find orders that no machine has. A
//! fence behind each makes up for that ([`in_total_order`]): between two accesses of this kind there is always one, which gives them
//! the total order that they have. There is none before, since the checker may go on with another thread before an access, and
//! a fence would have told that one already what this thread has done.

use loom::sync::atomic;
pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
pub(crate) use loom::sync::{Condvar, Mutex};
use std::time::Duration;

/// Lets other threads go on.
pub(crate) fn yield_now() {
    loom::thread::yield_now();
}

loom::lazy_static! {
    /// The kernel's lock of those who wait, and what it wakes them by.
    static ref SLEEPERS: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

/// Sleeps until [`futex_wake`], unless the word is not what is expected: no time ever runs out, so that the checker finds whoever is
/// never woken.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, _: Duration) {
    let guard = SLEEPERS.0.lock().unwrap();
    // The kernel looks under its lock, behind a barrier.
    if word.load(Ordering::SeqCst) == expected {
        drop(SLEEPERS.1.wait(guard).unwrap());
    }
}

/// Wakes a thread that sleeps.
pub(crate) fn futex_wake(_: &AtomicU32) {
    drop(SLEEPERS.0.lock().unwrap());
    SLEEPERS.1.notify_one();
}

macro_rules! constructor {
    ($($function:tt)*) => { $($function)* };
}
pub(crate) use constructor;

/// Does an access, which has its place in the one order of all accesses if it is sequentially consistent.
fn in_total_order<R>(order: Ordering, access: impl FnOnce() -> R) -> R {
    let result = access();
    if order == Ordering::SeqCst {
        fence(Ordering::SeqCst);
    }
    result
}

/// An atomic of the checker's, with accesses in the total order.
macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name(atomic::$name);

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                in_total_order(order, || self.0.load(order))
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                in_total_order(order, || self.0.store(value, order))
            }

            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                in_total_order(order, || self.0.swap(value, order))
            }
        }
    };
}

/// The same, with arithmetic.
macro_rules! number {
    ($name:ident, $value:ty) => {
        atomic!($name, $value);

        impl $name {
            pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                in_total_order(order, || self.0.fetch_add(value, order))
            }

            pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                in_total_order(order, || self.0.fetch_sub(value, order))
            }

            pub(crate) fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                in_total_order(order, || self.0.fetch_max(value, order))
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                in_total_order(success, || self.0.compare_exchange(current, new, success, failure))
            }
        }
    };
}

number!(AtomicUsize, usize);
number!(AtomicU32, u32);
atomic!(AtomicBool, bool);

/// A pointer, with accesses in the total order.
#[derive(Debug)]
pub(crate) struct AtomicPtr<T>(atomic::AtomicPtr<T>);

impl<T> AtomicPtr<T> {
    pub(crate) fn new(value: *mut T) -> Self {
        Self(atomic::AtomicPtr::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> *mut T {
        in_total_order(order, || self.0.load(order))
    }

    pub(crate) fn store(&self, value: *mut T, order: Ordering) {
        in_total_order(order, || self.0.store(value, order));
    }
}
