//! Ranges whose first write is recorded: `sys/watch_slots.rs`.

use crate::watch_slots::{WatchSlot, WatchSlots, WatchState};
use crate::{model, model_with_preemptions};
use loom::sync::Arc;
use loom::thread;

const FIRST: std::ops::Range<usize> = 10..20;
const SECOND: std::ops::Range<usize> = 30..40;
const OTHER: std::ops::Range<usize> = 50..60;

fn slots<const N: usize>() -> Arc<WatchSlots<N>> {
    Arc::new(WatchSlots::new(std::array::from_fn(|_| WatchSlot::new())))
}

/// The handler of a thread that wrote to its own memory.
fn write<const N: usize>(slots: &WatchSlots<N>, address: usize) -> Option<std::ops::Range<usize>> {
    let (slot, range, state) = slots.at(address)?;
    if state == WatchState::Armed {
        slot.break_at(address);
    }
    Some(range)
}

/// A slot is used for several ranges while a handler searches for others: it never sees the start of one and the end of
/// another.
#[test]
fn a_range_is_never_put_together_from_two() {
    model_with_preemptions(3, || {
        let slots = slots::<1>();
        let owner = {
            let slots = slots.clone();
            thread::spawn(move || {
                for range in [FIRST, SECOND] {
                    slots.arm(range).expect("it is the only one").free();
                }
            })
        };
        // Between the two ranges, and inside one.
        assert!(slots.at(25).is_none());
        if let Some((_, range, _)) = slots.at(35) {
            assert_eq!(range, SECOND);
        }
        owner.join().unwrap();
    });
}

/// A thread's write to its own memory is found, and recorded in the right slot, whatever others do with their slots.
#[test]
fn a_write_is_noted_in_its_own_slot() {
    model_with_preemptions(2, || {
        let slots = slots::<2>();
        let other = {
            let slots = slots.clone();
            thread::spawn(move || {
                let slot = slots.arm(OTHER).expect("there are two");
                let seen = write(&slots, 55);
                assert_eq!((seen, slot.first_written()), (Some(OTHER), Some(55)));
                slot.free();
            })
        };
        let slot = slots.arm(FIRST).expect("there are two");
        assert_eq!((write(&slots, 12), slot.first_written()), (Some(FIRST), Some(12)));
        // The second write is not recorded.
        assert_eq!((write(&slots, 13), slot.first_written()), (Some(FIRST), Some(12)));
        slot.free();
        assert_eq!(write(&slots, 12), None);
        other.join().unwrap();
    });
}

#[test]
fn a_slot_has_one_owner() {
    model(|| {
        let slots = slots::<1>();
        let other = {
            let slots = slots.clone();
            thread::spawn(move || slots.arm(OTHER).is_some())
        };
        let own = slots.arm(FIRST);
        if own.is_some() {
            assert_eq!(slots.at(15).map(|(_, range, _)| range), Some(FIRST));
        }
        assert!(own.is_some() != other.join().unwrap());
    });
}
