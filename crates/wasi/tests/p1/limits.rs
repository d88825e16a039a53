//! Limits on what a guest may open, read and write, and what the host learns when the guest exceeds one.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use belljar::Limits;
use belljar_wasi::p1::{self, Errno};
use belljar_wasi::{DirPerms, FilePerms, MemoryInputPipe, MemoryOutputPipe, WasiCtxBuilder};
use tempfile::TempDir;

use crate::guest::*;

fn guest(limits: &Limits) -> (TempDir, Guest) {
    let dir = tempfile::tempdir().unwrap();
    let mut builder = WasiCtxBuilder::new();
    builder.preopened_dir(dir.path(), "/", (DirPerms::all(), FilePerms::all())).unwrap();
    (dir, Guest::new(builder.limits(limits).build()))
}

fn told(guest: &Guest) -> Vec<String> {
    guest.ctx.limits_exceeded().iter().map(ToString::to_string).collect()
}

#[test]
fn writing_ends_at_the_last_byte_wherever_it_goes() {
    let stdout = MemoryOutputPipe::new(100);
    let dir = tempfile::tempdir().unwrap();
    let mut builder = WasiCtxBuilder::new();
    builder.preopened_dir(dir.path(), "/", (DirPerms::all(), FilePerms::all())).unwrap();
    builder.stdout(stdout.clone()).limits(&Limits::unlimited().bytes_written(10));
    let mut guest = Guest::new(builder.build());
    let file = guest.open(3, "f", CREAT, READ | WRITE, 0).unwrap();
    assert_eq!(guest.write(1, &[b"abc"]), Ok(3));
    assert_eq!(guest.write(file, &[b"de", b"f"]), Ok(3));
    // A failed call is not counted.
    assert_eq!(errno(guest.write(0, &[b"x"])), Errno::Badf);
    assert_eq!(guest.pwrite(file, b"DE", 0), Ok(2));
    assert_eq!(told(&guest), [""; 0]);
    assert_eq!(guest.write(1, &[b"g", b"hij", b"k"]), Ok(2));
    assert_eq!(stdout.contents(), &b"abcgh"[..]);
    // A truncated write is recorded, because a guest may ignore the count.
    assert_eq!(told(&guest).len(), 1);
    assert_eq!(errno(guest.write(1, &[b"i"])), Errno::Dquot);
    assert_eq!(errno(guest.pwrite(file, b"i", 0)), Errno::Dquot);
    assert_eq!(guest.write(1, &[b""]), Ok(0));
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"DEf");
    let text = "bytes_written: the guest wanted more than its limit of 10 bytes (Limits::bytes_written)";
    assert_eq!(told(&guest), [text]);
}

#[test]
fn reading_ends_at_the_last_byte_but_an_end_may_be_seen() {
    let (dir, mut guest) = guest(&Limits::unlimited().bytes_read(8));
    fs::write(dir.path().join("five"), "12345").unwrap();
    fs::write(dir.path().join("three"), "678").unwrap();
    let five = guest.open(3, "five", 0, READ, 0).unwrap();
    let three = guest.open(3, "three", 0, READ, 0).unwrap();
    assert_eq!(guest.read(five, 100), Ok(b"12345".to_vec()));
    assert_eq!(guest.read(five, 100), Ok(vec![]));
    assert_eq!(guest.read(three, 3), Ok(b"678".to_vec()));
    assert_eq!(guest.read(three, 3), Ok(vec![]));
    assert_eq!(told(&guest), [""; 0]);
    assert_eq!(errno(guest.pread(five, 1, 0)), Errno::Io);
    guest.seek(three, 0, 0).unwrap();
    assert_eq!(errno(guest.read(three, 1)), Errno::Io);
    assert_eq!(guest.bytes[0x10000], 0, "nothing of it is in the guest's memory");
    let text = "bytes_read: the guest wanted more than its limit of 8 bytes (Limits::bytes_read)";
    assert_eq!(told(&guest), [text]);
}

#[test]
fn standard_input_counts() {
    let mut builder = WasiCtxBuilder::new();
    builder.stdin(MemoryInputPipe::new("0123456789")).max_bytes_read(4);
    let mut guest = Guest::new(builder.build());
    assert_eq!(guest.read(0, 100), Ok(b"0123".to_vec()));
    assert_eq!(errno(guest.read(0, 100)), Errno::Io);
}

#[test]
fn what_cannot_be_open_is_not_touched() {
    let (dir, mut guest) = guest(&Limits::unlimited().descriptors(5));
    fs::write(dir.path().join("kept"), "kept").unwrap();
    let one = guest.open(3, "one", CREAT, WRITE, 0).unwrap();
    assert_eq!(errno(guest.open(3, "kept", TRUNC, WRITE, 0)), Errno::Mfile);
    assert_eq!(errno(guest.open(3, "new", CREAT, WRITE, 0)), Errno::Mfile);
    assert_eq!(fs::read(dir.path().join("kept")).unwrap(), b"kept");
    assert!(!dir.path().join("new").exists());
    assert_eq!(told(&guest), ["descriptors: the guest wanted 6, and its limit is 5 (Limits::descriptors)"]);
    guest.close(one).unwrap();
    assert_eq!(guest.open(3, "new", CREAT, WRITE, 0), Ok(4));
}

#[test]
fn threads_write_no_byte_more_together() {
    let stdout = MemoryOutputPipe::new(1 << 20);
    let ctx = WasiCtxBuilder::new().stdout(stdout.clone()).max_bytes_written(10_000).build();
    let told = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (ctx, told) = (ctx.share(), told.clone());
            scope.spawn(move || {
                let mut guest = Guest::new(ctx);
                let written = loop {
                    let (list, len) = guest.buffers(&[b"1234567"]);
                    match guest.call(|ctx, memory| p1::fd_write(ctx, memory, 1, list, len, 0x2000)) {
                        Ok(()) => told.fetch_add(guest.result32() as usize, Ordering::Relaxed),
                        Err(error) => break error,
                    };
                };
                assert_eq!(written, Errno::Dquot.into());
            });
        }
    });
    assert_eq!(told.load(Ordering::Relaxed), 10_000);
    assert_eq!(stdout.contents().len(), 10_000);
}
