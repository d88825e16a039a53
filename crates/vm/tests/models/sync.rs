//! Replaces `crate::sync` in the checked files, with loom's types.
//!
//! loom treats a sequentially consistent access as acquire and release only, and would report executions that cannot
//! happen. A fence after each such access compensates for that ([`in_total_order`]): any two of them have a fence in
//! between, which puts them into one total order. There is no fence before the access: loom switches threads before an
//! access, and a fence would already have published what the thread did so far, which hides races.

use loom::sync::atomic;
pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
pub(crate) use loom::sync::{Condvar, Mutex};
use std::time::Duration;

/// Yields to other threads.
pub(crate) fn yield_now() {
    loom::thread::yield_now();
}

loom::lazy_static! {
    /// The kernel's lock and queue of waiting threads.
    static ref SLEEPERS: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

/// Sleeps until [`futex_wake`], unless the word differs from the expected value. It never times out, so loom reports a
/// thread that is never woken as a deadlock.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, _: Duration) {
    let guard = SLEEPERS.0.lock().unwrap();
    // The kernel compares under its lock, after a barrier.
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

/// Makes an access. If it is sequentially consistent, it takes part in the total order.
fn in_total_order<R>(order: Ordering, access: impl FnOnce() -> R) -> R {
    let result = access();
    if order == Ordering::SeqCst {
        fence(Ordering::SeqCst);
    }
    result
}

/// One of loom's atomics, with accesses in the total order.
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
