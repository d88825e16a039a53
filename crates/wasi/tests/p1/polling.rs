//! `poll_oneoff` and the clocks.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use belljar_wasi::p1::{self, Errno};
use belljar_wasi::{
    HostMonotonicClock, HostWallClock, InputFile, MemoryOutputPipe, OutputFile, WasiCtxBuilder,
};

use crate::guest::*;

const SUBSCRIPTIONS: u32 = 0x20000;
const EVENTS: u32 = 0x30000;

pub(crate) enum Sub {
    Clock { id: u32, timeout: u64, absolute: bool },
    Read(u32),
    Write(u32),
    Tag(u8),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) userdata: u64,
    pub(crate) errno: u16,
    pub(crate) tag: u8,
    pub(crate) bytes: u64,
    pub(crate) flags: u16,
}

/// Polls with user data 100, 101, ...
pub(crate) fn poll(guest: &mut Guest, subs: &[Sub]) -> Result<Vec<Event>, p1::Error> {
    for (i, sub) in subs.iter().enumerate() {
        let at = SUBSCRIPTIONS + i as u32 * 48;
        guest.put(at, &[0; 48]);
        guest.put(at, &(100 + i as u64).to_le_bytes());
        match *sub {
            Sub::Clock { id, timeout, absolute } => {
                guest.put(at + 16, &id.to_le_bytes());
                guest.put(at + 24, &timeout.to_le_bytes());
                guest.put(at + 40, &u16::from(absolute).to_le_bytes());
            }
            Sub::Read(fd) => {
                guest.put(at + 8, &[1]);
                guest.put(at + 16, &fd.to_le_bytes());
            }
            Sub::Write(fd) => {
                guest.put(at + 8, &[2]);
                guest.put(at + 16, &fd.to_le_bytes());
            }
            Sub::Tag(tag) => guest.put(at + 8, &[tag]),
        }
    }
    guest.call(|ctx, memory| p1::poll_oneoff(ctx, memory, SUBSCRIPTIONS, EVENTS, subs.len() as u32, 0x10))?;
    let count = u32::from_le_bytes(guest.get(0x10));
    let event = |i| {
        let at = EVENTS + i * 32;
        Event {
            userdata: u64::from_le_bytes(guest.get(at)),
            errno: u16::from_le_bytes(guest.get(at + 8)),
            tag: guest.get::<1>(at + 10)[0],
            bytes: u64::from_le_bytes(guest.get(at + 16)),
            flags: u16::from_le_bytes(guest.get(at + 24)),
        }
    };
    Ok((0..count).map(event).collect())
}

fn time(guest: &mut Guest, id: u32) -> u64 {
    guest.call(|ctx, memory| p1::clock_time_get(ctx, memory, id, 0, 0)).unwrap();
    u64::from_le_bytes(guest.get(0))
}

#[test]
fn four_clocks() {
    let mut guest = Guest::new(WasiCtxBuilder::new().build());
    for id in 0..4 {
        guest.call(|ctx, memory| p1::clock_res_get(ctx, memory, id, 0)).unwrap();
        let resolution = u64::from_le_bytes(guest.get(0));
        assert!((1..1_000_000_000).contains(&resolution));
        let first = time(&mut guest, id);
        let end = Instant::now() + Duration::from_millis(5);
        while Instant::now() < end {}
        assert!(time(&mut guest, id) > first, "clock {id}");
    }
    assert!(time(&mut guest, 0) > 1_700_000_000_000_000_000);
    assert!(time(&mut guest, 3) <= time(&mut guest, 2));
    assert_eq!(errno(guest.call(|ctx, memory| p1::clock_time_get(ctx, memory, 4, 0, 0))), Errno::Inval);
    assert_eq!(errno(guest.call(|ctx, memory| p1::clock_res_get(ctx, memory, u32::MAX, 0))), Errno::Inval);
}

#[test]
fn sleeping() {
    let mut guest = Guest::new(WasiCtxBuilder::new().build());
    let start = Instant::now();
    let events = poll(&mut guest, &[Sub::Clock { id: 1, timeout: 20_000_000, absolute: false }]).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(events, [Event { userdata: 100, errno: 0, tag: 0, bytes: 0, flags: 0 }]);
    // The nearest of several, absolute and relative, on both clocks.
    let (now, wall) = (time(&mut guest, 1), time(&mut guest, 0));
    let subs = [
        Sub::Clock { id: 1, timeout: now + 3_600_000_000_000, absolute: true },
        Sub::Clock { id: 0, timeout: wall + 10_000_000, absolute: true },
        Sub::Clock { id: 0, timeout: 3_600_000_000_000, absolute: false },
    ];
    let events = poll(&mut guest, &subs).unwrap();
    assert_eq!(events.iter().map(|event| event.userdata).collect::<Vec<_>>(), [101]);
    let past = poll(&mut guest, &[Sub::Clock { id: 1, timeout: 1, absolute: true }]).unwrap();
    assert_eq!(past.len(), 1);
}

#[test]
fn wrong_subscriptions_are_events() {
    let mut guest = Guest::new(WasiCtxBuilder::new().build());
    assert_eq!(errno(poll(&mut guest, &[])), Errno::Inval);
    let subs = [
        Sub::Read(77),
        Sub::Clock { id: 1, timeout: u64::MAX, absolute: false },
        Sub::Clock { id: 2, timeout: 0, absolute: false },
        Sub::Clock { id: 9, timeout: 0, absolute: false },
        Sub::Tag(3),
        Sub::Write(0),
        Sub::Write(1),
    ];
    let events = poll(&mut guest, &subs).unwrap();
    let seen: Vec<_> = events.iter().map(|event| (event.userdata, event.errno)).collect();
    let (badf, inval, notsup) = (Errno::Badf as u16, Errno::Inval as u16, Errno::Notsup as u16);
    assert_eq!(seen, [(100, badf), (102, notsup), (103, inval), (104, inval), (105, badf), (106, 0)]);
    let huge = guest.call(|ctx, memory| p1::poll_oneoff(ctx, memory, 0, 0, u32::MAX, 0));
    assert_eq!(errno(huge), Errno::Fault);
}

#[test]
fn pipes_and_files() {
    let (dir, _) = guest_with_dir();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (_full_reader, full) = std::io::pipe().unwrap();
    let mut builder = WasiCtxBuilder::new();
    builder.stdin(InputFile::new(std::fs::File::from(std::os::fd::OwnedFd::from(reader))));
    builder.stdout(OutputFile::new(std::fs::File::from(std::os::fd::OwnedFd::from(full))));
    builder.stderr(MemoryOutputPipe::new(10));
    builder
        .preopened_dir(dir.path(), "/", (belljar_wasi::DirPerms::all(), belljar_wasi::FilePerms::all()))
        .unwrap();
    let mut guest = Guest::new(builder.build());
    let soon = || Sub::Clock { id: 1, timeout: 10_000_000, absolute: false };
    // Nothing to read: the clock's event comes first.
    assert_eq!(poll(&mut guest, &[Sub::Read(0), soon()]).unwrap()[0].userdata, 101);
    guest.set_flags(0, NONBLOCK).unwrap();
    assert_eq!(errno(guest.read(0, 1)), Errno::Again);
    writer.write_all(b"hello").unwrap();
    let events = poll(&mut guest, &[Sub::Read(0), soon()]).unwrap();
    assert_eq!(events, [Event { userdata: 100, errno: 0, tag: 1, bytes: 5, flags: 0 }]);
    assert_eq!(guest.read(0, 9), Ok(b"hello".to_vec()));
    drop(writer);
    let events = poll(&mut guest, &[Sub::Read(0)]).unwrap();
    assert_eq!((events[0].bytes, events[0].flags), (1, 1));
    assert_eq!(guest.read(0, 9), Ok(vec![]));
    // There is room to write until the pipe is full.
    assert_eq!(poll(&mut guest, &[Sub::Write(1), soon()]).unwrap()[0].userdata, 100);
    guest.set_flags(1, NONBLOCK).unwrap();
    while guest.write(1, &[&[0; 4096]]).is_ok() {}
    assert_eq!(errno(guest.write(1, &[&[0; 4096]])), Errno::Again);
    assert_eq!(poll(&mut guest, &[Sub::Write(1), soon()]).unwrap()[0].userdata, 101);
    assert_eq!(poll(&mut guest, &[Sub::Write(2), soon()]).unwrap()[0].userdata, 100);
    // Files are always ready.
    let fd = guest.open(3, "f", CREAT, READ | WRITE, 0).unwrap();
    guest.write(fd, &[b"abc"]).unwrap();
    guest.seek(fd, 1, 0).unwrap();
    let events = poll(&mut guest, &[Sub::Read(fd), Sub::Write(fd), soon(), Sub::Read(3)]).unwrap();
    let seen: Vec<_> = events.iter().map(|event| (event.userdata, event.bytes)).collect();
    assert_eq!(seen, [(100, 2), (101, 1), (103, 0)]);
}

struct Virtual(Arc<AtomicU64>);

impl HostMonotonicClock for Virtual {
    fn resolution(&self) -> u64 {
        1
    }
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
    fn advance(&self, by: Duration) -> bool {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
        true
    }
}

struct Frozen;

impl HostWallClock for Frozen {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }
    fn now(&self) -> Duration {
        Duration::from_secs(1000)
    }
}

#[test]
fn virtual_clocks_take_no_time() {
    let now = Arc::new(AtomicU64::new(5));
    let ctx = WasiCtxBuilder::new().monotonic_clock(Virtual(now.clone())).wall_clock(Frozen).build();
    let mut guest = Guest::new(ctx);
    let start = Instant::now();
    let hour = 3_600_000_000_000;
    poll(&mut guest, &[Sub::Clock { id: 1, timeout: hour, absolute: false }]).unwrap();
    assert_eq!(now.load(Ordering::Relaxed), hour + 5);
    assert_eq!(time(&mut guest, 0), 1_000_000_000_000);
    // A wall clock that stands still does not hang a guest that waits for it.
    let until = Sub::Clock { id: 0, timeout: 1_000_000_000_000 + hour, absolute: true };
    assert_eq!(poll(&mut guest, &[until]).unwrap().len(), 1);
    assert!(start.elapsed() < Duration::from_secs(60));
}
