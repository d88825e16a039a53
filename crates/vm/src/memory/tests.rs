//! Memories that are rewound and reused: cleaned, trimmed, write-protected.

use super::resident::TRIM_INTERVAL;
use super::*;
use crate::vm_ptr::VmPtr;

#[test]
fn pages_that_nobody_writes_to_any_more_are_given_back() {
    let pool = Arc::new(MemoryPool::default());
    let length = 64 << 16;
    let mut memory = LinearMemory::new(MemoryType::new(64, None), length, None, true, &pool).unwrap();
    let was = memory.checkpoint().unwrap();
    let write = |memory: &mut LinearMemory, at: usize| memory.fill_fresh(at..at + 1, |byte| byte.fill(7));
    let resident = |memory: &LinearMemory| {
        let mut bytes = 0;
        let base = memory.base();
        written_pages(base..base + length, |range| {
            bytes += range.len();
            true
        })
        .map(|()| bytes)
    };
    // Once everywhere, then only in one place.
    (0..64).for_each(|i| write(&mut memory, i << 16));
    memory.rewind(&was).unwrap();
    if !resident(&memory).is_ok_and(|bytes| bytes == 64 * page_size()) {
        return eprintln!("skipped: the kernel does not list written pages");
    }
    for _ in 0..TRIM_INTERVAL {
        write(&mut memory, 3 << 16);
        memory.rewind(&was).unwrap();
    }
    assert_eq!(resident(&memory).unwrap(), page_size(), "the one that is written to each time");
    assert_eq!(was.first_difference(&vec![0; length]), None);
}

#[test]
fn a_used_memory_comes_back_clean() {
    let pool = Arc::new(MemoryPool::default());
    let ty = MemoryType::new(1, None);
    let mut first = LinearMemory::new(ty, 65536, None, true, &pool).unwrap();
    first.grow_to(3 * 65536).unwrap();
    let base = first.base();
    // SAFETY: inside the memory just made, which this test alone uses.
    unsafe { VmPtr::<u8>::at(base + 150_000).write(7) };
    drop(first);
    let mut second = LinearMemory::new(ty, 65536, None, true, &pool).unwrap();
    assert_eq!((second.base(), second.length()), (base, 65536));
    second.grow_to(3 * 65536).unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { VmPtr::<u8>::at(base + 150_000).read() }, 0);
}

#[test]
fn much_that_is_written_each_time_stays_until_others_come() {
    let pool = Arc::new(MemoryPool::default());
    let (length, much) = (512 << 16, 20 << 20);
    let mut memory = LinearMemory::new(MemoryType::new(512, None), length, None, true, &pool).unwrap();
    let was = memory.checkpoint().unwrap();
    let resident = |memory: &LinearMemory| {
        let base = memory.base();
        let mut bytes = 0;
        written_pages(base..base + length, |range| {
            bytes += range.len();
            true
        })
        .map(|()| bytes)
    };
    for round in 0..200 {
        memory.fill_fresh(0..much, |bytes| bytes.fill(7));
        memory.rewind(&was).unwrap();
        let Ok(kept) = resident(&memory) else {
            return eprintln!("skipped: the kernel does not list written pages");
        };
        assert_eq!(kept, much, "round {round}");
    }
    assert!(memory.slot().is_write_protected());
    let base = memory.base();
    drop(memory);
    let other = LinearMemory::new(MemoryType::new(512, None), length, None, true, &pool).unwrap();
    assert_eq!(other.base(), base);
    assert!(resident(&other).unwrap() <= 4 << 20);
}

/// More cleanings than it takes until a memory is write-protected.
const OFTEN: usize = 64;

fn write(memory: &mut LinearMemory, at: usize) {
    memory.fill_fresh(at..at + 1, |byte| byte.fill(7));
}

fn read(memory: &LinearMemory, at: usize) -> u8 {
    // SAFETY: inside the memory, which the test alone uses.
    unsafe { VmPtr::at(memory.base() + at).read() }
}

/// Creates a memory whose guest writes to one place repeatedly, with its initial checkpoint. Returns `None` if the
/// kernel does not list written pages.
fn write_protected(
    pool: &Arc<MemoryPool>,
    length: usize,
    at: usize,
) -> Option<(LinearMemory, MemoryCheckpoint)> {
    crate::startup::handle_signals().unwrap();
    let ty = MemoryType::new((length >> 16) as u32, None);
    let mut memory = LinearMemory::new(ty, length, None, true, pool).unwrap();
    memory.fill_fresh(0..4, |bytes| bytes.fill(1));
    let was = memory.checkpoint().unwrap();
    for _ in 0..OFTEN {
        write(&mut memory, at);
        memory.rewind(&was).unwrap();
    }
    if !memory.slot().is_write_protected() {
        assert!(!crate::sys::tells_written_pages(), "it was stability for long, and is not write_protected");
        eprintln!("skipped: the kernel does not list written pages");
        return None;
    }
    Some((memory, was))
}

#[test]
fn what_is_written_elsewhere_in_a_settled_memory_is_wiped() {
    let pool = Arc::new(MemoryPool::default());
    let Some((mut memory, was)) = write_protected(&pool, 4 << 16, 70_000) else { return };
    for at in [0, 5000, 70_001, 200_000, (4 << 16) - 1] {
        write(&mut memory, at);
        assert_eq!(read(&memory, at), 7);
    }
    assert!(memory.slot().is_write_protected(), "until somebody looks");
    memory.rewind(&was).unwrap();
    assert!(!memory.slot().is_write_protected());
    let bytes: Vec<u8> = (0..4 << 16).map(|at| read(&memory, at)).collect();
    assert_eq!(was.first_difference(&bytes), None);
    // It takes more resets now until the memory is write-protected again.
    for _ in 0..8 * OFTEN {
        write(&mut memory, 200_000);
        memory.rewind(&was).unwrap();
    }
    assert!(memory.slot().is_write_protected());
}

#[test]
fn a_settled_memory_grows_and_shrinks() {
    let pool = Arc::new(MemoryPool::default());
    let Some((mut memory, was)) = write_protected(&pool, 1 << 16, 20_000) else { return };
    for _ in 0..3 {
        memory.grow_to(3 << 16).unwrap();
        write(&mut memory, 20_000);
        write(&mut memory, 150_000);
        memory.rewind(&was).unwrap();
        assert!(memory.slot().is_write_protected(), "what grew is no part of it");
        memory.grow_to(3 << 16).unwrap();
        assert_eq!((read(&memory, 20_000), read(&memory, 150_000)), (0, 0));
        memory.rewind(&was).unwrap();
    }
}

#[test]
fn the_kernel_writes_to_what_was_prepared() {
    let pool = Arc::new(MemoryPool::default());
    for length in [1, 20_000, 300_000] {
        let Some((mut memory, was)) = write_protected(&pool, 8 << 16, 70_000) else { return };
        memory.fill_fresh(100_000..100_000 + length, |bytes| {
            let zeros = std::fs::File::open("/dev/zero").unwrap();
            assert_eq!(
                rustix::io::read(&zeros, &mut *bytes),
                Err(rustix::io::Errno::FAULT),
                "is it protected?"
            );
            crate::sys::prepare_for_kernel(bytes);
            assert_eq!(rustix::io::read(&zeros, bytes), Ok(length));
        });
        memory.rewind(&was).unwrap();
    }
}

#[test]
fn a_settled_memory_is_taken_by_another_store() {
    let pool = Arc::new(MemoryPool::default());
    let Some((memory, was)) = write_protected(&pool, 4 << 16, 70_000) else { return };
    let base = memory.base();
    drop(memory);
    let mut other = LinearMemory::new(MemoryType::new(1, None), 1 << 16, None, true, &pool).unwrap();
    assert_eq!(other.base(), base);
    (0..1 << 16).step_by(1000).for_each(|at| {
        assert_eq!(read(&other, at), 0);
        write(&mut other, at);
    });
    drop(other);
    let ty = MemoryType::new(4, None);
    let again = LinearMemory::new(ty, 4 << 16, was.image(), true, &pool).unwrap();
    let bytes: Vec<u8> = (0..4 << 16).map(|at| read(&again, at)).collect();
    assert_eq!(was.first_difference(&bytes), None);
}

/// Creates a memory whose checkpoint has a few bytes at both ends and in the middle.
fn at_three_places(pool: &Arc<MemoryPool>, length: usize) -> (LinearMemory, MemoryCheckpoint) {
    let ty = MemoryType::new((length >> 16) as u32, None);
    let mut memory = LinearMemory::new(ty, length, None, true, pool).unwrap();
    for at in [0, length / 2, length - 10] {
        memory.fill_fresh(at..at + 10, |bytes| bytes.fill(1));
    }
    let was = memory.checkpoint().unwrap();
    (memory, was)
}

fn assert_is(memory: &LinearMemory, was: &MemoryCheckpoint) {
    assert_eq!(memory.length(), was.length());
    // SAFETY: the whole memory, which the test alone uses.
    let bytes = unsafe { VmPtr::<u8>::at(memory.base()).slice(memory.length()) };
    assert_eq!(was.first_difference(bytes), None);
}

#[test]
fn an_image_in_pieces_is_what_it_is_in_one() {
    let pool = Arc::new(MemoryPool::default());
    for length in [1 << 20, 3 << 20, 48 << 20] {
        let (mut memory, was) = at_three_places(&pool, length);
        assert_is(&memory, &was);
        assert_eq!(was.image().unwrap().pieces().len(), 3);
        for round in 0..TRIM_INTERVAL as usize + 3 {
            // Everything, scattered pages, and the end.
            let (from, step) = [(0, 1), (round * 4096, 40_000), (length - 30_000, 1)][round % 3];
            if step == 1 {
                memory.fill_fresh(from..length, |bytes| bytes.fill(7));
            } else {
                (from..length).step_by(step).for_each(|at| write(&mut memory, at));
            }
            memory.rewind(&was).unwrap();
            assert_is(&memory, &was);
        }
        // Another memory adopts the checkpoint, in the same slot or in a new one.
        let ty = memory.ty();
        let mut other = LinearMemory::new(ty, length, was.image(), true, &pool).unwrap();
        other.rewind(&was).unwrap();
        assert_is(&other, &was);
        drop(memory);
        let mut third = LinearMemory::new(ty, length, None, true, &pool).unwrap();
        assert_eq!((0..length).step_by(1000).find(|at| read(&third, *at) != 0), None);
        third.fill_fresh(0..length, |bytes| bytes.fill(3));
        third.rewind(&was).unwrap();
        assert_is(&third, &was);
        // A new checkpoint may have less contents or more.
        third.fill_fresh(length / 2..length, |bytes| bytes.fill(0));
        third.fill_fresh(length / 4..length / 4 + 5, |bytes| bytes.fill(9));
        let now = third.checkpoint().unwrap();
        assert_is(&third, &now);
        third.fill_fresh(0..length, |bytes| bytes.fill(3));
        third.rewind(&now).unwrap();
        assert_is(&third, &now);
        third.rewind(&was).unwrap();
        assert_is(&third, &was);
    }
}

#[test]
fn what_was_written_once_is_given_back_after_a_trial() {
    let pool = Arc::new(MemoryPool::default());
    let (length, much) = (64 << 20, 40 << 20);
    let (mut memory, was) = at_three_places(&pool, length);
    let resident = |memory: &LinearMemory| {
        let mut bytes = 0;
        let base = memory.base();
        written_pages(base..base + length, |range| {
            bytes += range.len();
            true
        })
        .map(|()| bytes)
    };
    memory.fill_fresh(0..much, |bytes| bytes.fill(7));
    memory.rewind(&was).unwrap();
    if resident(&memory).is_err() {
        return eprintln!("skipped: the kernel does not list written pages");
    }
    assert!(resident(&memory).unwrap() >= much);
    for _ in 0..8 {
        write(&mut memory, 5000);
        memory.rewind(&was).unwrap();
        assert_is(&memory, &was);
    }
    assert!(resident(&memory).unwrap() <= 4 << 20, "{}", resident(&memory).unwrap());
}

/// Writes all of a memory a few times, with resets. Returns how many bytes stay resident.
fn kept_of(memory: &mut LinearMemory) -> Option<usize> {
    let was = memory.checkpoint().unwrap();
    let length = memory.length();
    for _ in 0..6 {
        memory.fill_fresh(0..length, |bytes| bytes.fill(7));
        memory.rewind(&was).unwrap();
        assert_is(memory, &was);
    }
    let (base, mut kept) = (memory.base(), 0);
    let scanned = written_pages(base..base + length, |range| {
        kept += range.len();
        true
    });
    scanned.is_ok().then_some(kept)
}

#[test]
fn memories_keep_no_more_than_the_most_and_more_only_together() {
    const MIB: usize = 1 << 20;
    let length = 160 * MIB;
    let new = |pool: &Arc<MemoryPool>| {
        LinearMemory::new(MemoryType::new((length >> 16) as u32, None), length, None, true, pool).unwrap()
    };
    let pool = Arc::new(MemoryPool::with_beyond(|| 40 * MIB));
    let (mut first, mut second) = (new(&pool), new(&pool));
    let Some(kept) = kept_of(&mut first) else {
        return eprintln!("skipped: the kernel does not list written pages");
    };
    assert_eq!((kept, pool.kept_beyond()), (length, 32 * MIB));
    // With large pages, the rest of the last one as well.
    let kept = kept_of(&mut second).unwrap();
    assert!((136 * MIB..=138 * MIB).contains(&kept), "{kept}");
    assert_eq!(pool.kept_beyond(), 40 * MIB);
    drop((first, second));
    assert_eq!(pool.kept_beyond(), 0);
}

#[test]
fn guests_that_write_here_and_there_get_small_pages() {
    let pool = Arc::new(MemoryPool::default());
    let length = 64 << 20;
    let (mut memory, was) = at_three_places(&pool, length);
    let begin = |memory: &LinearMemory| memory.slot().asked_for_large_pages();
    let asks = crate::sys::large_page_mode() != crate::sys::LargePageMode::Never;
    assert_eq!(begin(&memory), asks, "nothing is known yet");
    for _ in 0..8 {
        (0..length).step_by(1 << 20).for_each(|at| write(&mut memory, at + 5000));
        memory.rewind(&was).unwrap();
        assert_is(&memory, &was);
    }
    let base = memory.base();
    let mut bytes = 0;
    let scanned = written_pages(base..base + length, |range| {
        bytes += range.len();
        true
    });
    if scanned.is_err() {
        return eprintln!("skipped: the kernel does not list written pages");
    }
    assert!(!begin(&memory));
    assert!(bytes <= 2 * 64 * page_size() + (2 << 20), "{bytes}");
    // Other memories with this checkpoint use the result from their first session on.
    let mut other = LinearMemory::new(memory.ty(), length, was.image(), true, &pool).unwrap();
    other.rewind(&was).unwrap();
    assert!(!begin(&other));
}

#[test]
fn guests_that_write_here_and_there_later_get_small_pages_then() {
    let pool = Arc::new(MemoryPool::default());
    let length = 64 << 20;
    let (mut memory, was) = at_three_places(&pool, length);
    for _ in 0..100 {
        write(&mut memory, 5000);
        memory.rewind(&was).unwrap();
    }
    if !crate::sys::tells_written_pages() {
        return eprintln!("skipped: the kernel does not list written pages");
    }
    for _ in 0..3 {
        (0..length).step_by(1 << 20).for_each(|at| write(&mut memory, at + 5000));
        memory.rewind(&was).unwrap();
        assert_is(&memory, &was);
    }
    assert!(!memory.slot().asked_for_large_pages());
}

#[test]
fn guests_that_fill_large_pages_go_on_having_them() {
    let pool = Arc::new(MemoryPool::default());
    let length = 32 << 20;
    let (mut memory, was) = at_three_places(&pool, length);
    for _ in 0..70 {
        memory.fill_fresh(0..30 << 20, |bytes| bytes.fill(7));
        memory.rewind(&was).unwrap();
        assert_is(&memory, &was);
    }
    let mut other = LinearMemory::new(memory.ty(), length, was.image(), true, &pool).unwrap();
    other.rewind(&was).unwrap();
    let asks = crate::sys::large_page_mode() != crate::sys::LargePageMode::Never;
    for memory in [&memory, &other] {
        assert_eq!(memory.slot().asked_for_large_pages(), asks);
    }
    // A memory that is not rewound uses the machine's default.
    drop((memory, other));
    let third = LinearMemory::new(MemoryType::new(512, None), length, None, true, &pool).unwrap();
    let always = crate::sys::large_page_mode() == crate::sys::LargePageMode::Always;
    assert_eq!(third.slot().asked_for_large_pages(), always);
}
