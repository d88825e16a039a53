//! Memories that go back and are passed on: clean, thinned, settled.

use super::slot::THINNING;
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
    // Once everywhere, then in one place.
    (0..64).for_each(|i| write(&mut memory, i << 16));
    memory.rewind(&was).unwrap();
    if !resident(&memory).is_ok_and(|bytes| bytes == 64 * page_size()) {
        return eprintln!("skipped: the kernel does not tell which pages were written");
    }
    for _ in 0..THINNING {
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
            return eprintln!("skipped: the kernel does not tell which pages were written");
        };
        assert_eq!(kept, much, "round {round}");
    }
    assert!(memory.slot().is_settled());
    let base = memory.base();
    drop(memory);
    let other = LinearMemory::new(MemoryType::new(512, None), length, None, true, &pool).unwrap();
    assert_eq!(other.base(), base);
    assert!(resident(&other).unwrap() <= 4 << 20);
}

/// How often a memory is cleaned until it is settled, and more.
const OFTEN: usize = 64;

fn write(memory: &mut LinearMemory, at: usize) {
    memory.fill_fresh(at..at + 1, |byte| byte.fill(7));
}

fn read(memory: &LinearMemory, at: usize) -> u8 {
    // SAFETY: inside the memory, which the test alone uses.
    unsafe { VmPtr::at(memory.base() + at).read() }
}

/// A memory of so many bytes whose guest writes at one place again and again, and what it starts as. Nothing where the kernel does not
/// tell which pages are written.
fn settled(pool: &Arc<MemoryPool>, length: usize, at: usize) -> Option<(LinearMemory, MemoryCheckpoint)> {
    crate::sys::install_signal_handlers().unwrap();
    let ty = MemoryType::new((length >> 16) as u32, None);
    let mut memory = LinearMemory::new(ty, length, None, true, pool).unwrap();
    memory.fill_fresh(0..4, |bytes| bytes.fill(1));
    let was = memory.checkpoint().unwrap();
    for _ in 0..OFTEN {
        write(&mut memory, at);
        memory.rewind(&was).unwrap();
    }
    if !memory.slot().is_settled() {
        assert!(!crate::sys::tells_written_pages(), "it was calm for long, and is not settled");
        eprintln!("skipped: the kernel does not tell which pages were written");
        return None;
    }
    Some((memory, was))
}

#[test]
fn what_is_written_elsewhere_in_a_settled_memory_is_wiped() {
    let pool = Arc::new(MemoryPool::default());
    let Some((mut memory, was)) = settled(&pool, 4 << 16, 70_000) else { return };
    for at in [0, 5000, 70_001, 200_000, (4 << 16) - 1] {
        write(&mut memory, at);
        assert_eq!(read(&memory, at), 7);
    }
    assert!(memory.slot().is_settled(), "until somebody looks");
    memory.rewind(&was).unwrap();
    assert!(!memory.slot().is_settled());
    let bytes: Vec<u8> = (0..4 << 16).map(|at| read(&memory, at)).collect();
    assert_eq!(was.first_difference(&bytes), None);
    // More patience is needed now, and then it is settled again.
    for _ in 0..8 * OFTEN {
        write(&mut memory, 200_000);
        memory.rewind(&was).unwrap();
    }
    assert!(memory.slot().is_settled());
}

#[test]
fn a_settled_memory_grows_and_shrinks() {
    let pool = Arc::new(MemoryPool::default());
    let Some((mut memory, was)) = settled(&pool, 1 << 16, 20_000) else { return };
    for _ in 0..3 {
        memory.grow_to(3 << 16).unwrap();
        write(&mut memory, 20_000);
        write(&mut memory, 150_000);
        memory.rewind(&was).unwrap();
        assert!(memory.slot().is_settled(), "what grew is no part of it");
        memory.grow_to(3 << 16).unwrap();
        assert_eq!((read(&memory, 20_000), read(&memory, 150_000)), (0, 0));
        memory.rewind(&was).unwrap();
    }
}

#[test]
fn the_kernel_writes_to_what_was_prepared() {
    let pool = Arc::new(MemoryPool::default());
    for length in [1, 20_000, 300_000] {
        let Some((mut memory, was)) = settled(&pool, 8 << 16, 70_000) else { return };
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
    let Some((memory, was)) = settled(&pool, 4 << 16, 70_000) else { return };
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
