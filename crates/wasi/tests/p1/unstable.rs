//! Differences of `wasi_unstable`.

use std::fs;

use belljar_wasi::p1::{self, Errno, unstable};

use crate::guest::*;

#[test]
fn whence_has_another_order() {
    let (_dir, mut guest) = guest_with_dir();
    let fd = guest.open(3, "f", CREAT, READ | WRITE, 0).unwrap();
    guest.write(fd, &[b"0123456789"]).unwrap();
    let mut seek = |offset: i64, whence| {
        guest.call(|ctx, memory| unstable::fd_seek(ctx, memory, fd, offset.cast_unsigned(), whence, 0))?;
        Ok(u64::from_le_bytes(guest.get(0)))
    };
    assert_eq!(seek(4, 2), Ok(4));
    assert_eq!(seek(1, 0), Ok(5));
    assert_eq!(seek(-1, 1), Ok(9));
    assert_eq!(errno(seek(0, 3)), Errno::Inval);
}

#[test]
fn filestat_is_shorter() {
    let (dir, mut guest) = guest_with_dir();
    fs::write(dir.path().join("f"), "hello").unwrap();
    fs::hard_link(dir.path().join("f"), dir.path().join("g")).unwrap();
    guest.put(0, &[0xaa; 64]);
    guest.put(0x100, b"f");
    guest.call(|ctx, memory| unstable::path_filestat_get(ctx, memory, 3, 0, 0x100, 1, 0)).unwrap();
    let links_and_size = |guest: &Guest| {
        (guest.get::<1>(16)[0], u32::from_le_bytes(guest.get(20)), u64::from_le_bytes(guest.get(24)))
    };
    assert_eq!(links_and_size(&guest), (4, 2, 5));
    assert_eq!(guest.get::<8>(56), [0xaa; 8]);
    let fd = guest.open(3, "f", 0, READ, 0).unwrap();
    guest.put(0, &[0xaa; 64]);
    guest.call(|ctx, memory| unstable::fd_filestat_get(ctx, memory, fd, 0)).unwrap();
    assert_eq!(links_and_size(&guest), (4, 2, 5));
    assert_eq!(guest.get::<8>(56), [0xaa; 8]);
}

#[test]
fn subscriptions_are_longer() {
    let (_dir, mut guest) = guest_with_dir();
    // Two subscriptions: standard output, and a clock with an identifier before its id.
    guest.put(0x100, &[0; 112]);
    guest.put(0x100, &7u64.to_le_bytes());
    guest.put(0x108, &[2]);
    guest.put(0x110, &1u32.to_le_bytes());
    guest.put(0x138, &8u64.to_le_bytes());
    guest.put(0x148, &99u64.to_le_bytes());
    guest.put(0x150, &1u32.to_le_bytes());
    guest.put(0x158, &0u64.to_le_bytes());
    guest.call(|ctx, memory| unstable::poll_oneoff(ctx, memory, 0x100, 0x200, 2, 0)).unwrap();
    assert_eq!(guest.get::<4>(0), [2, 0, 0, 0]);
    let event = |i: u32| (u64::from_le_bytes(guest.get(0x200 + i * 32)), guest.get::<3>(0x208 + i * 32));
    assert_eq!(event(0), (7, [0, 0, 2]));
    assert_eq!(event(1), (8, [0, 0, 0]));
    let zero = guest.call(|ctx, memory| p1::poll_oneoff(ctx, memory, 0x100, 0x200, 0, 0));
    assert_eq!(errno(zero), Errno::Inval);
}
