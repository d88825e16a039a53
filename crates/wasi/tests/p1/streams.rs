//! Standard streams, arguments, environment, randomness, and threads that share a context.

use std::io::{self, IoSlice, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use belljar_wasi::p1::{self, Errno, Error};
use belljar_wasi::{
    InputFile, InputStream, MemoryInputPipe, MemoryOutputPipe, OutputFile, OutputStream, SeededRandom,
    WasiCtxBuilder,
};

use crate::guest::*;

#[test]
fn given_and_captured() {
    let (stdout, stderr) = (MemoryOutputPipe::new(8), MemoryOutputPipe::new(100));
    let mut builder = WasiCtxBuilder::new();
    builder.stdin(MemoryInputPipe::new("input")).stdout(stdout.clone()).stderr(stderr.clone());
    let mut guest = Guest::new(builder.build());
    assert_eq!(guest.read(0, 3), Ok(b"inp".to_vec()));
    assert_eq!(guest.read(0, 9), Ok(b"ut".to_vec()));
    assert_eq!(guest.read(0, 9), Ok(vec![]));
    assert_eq!(guest.write(1, &[b"out", b"put", b"more"]), Ok(8));
    assert_eq!(errno(guest.write(1, &[b"x"])), Errno::Nospc);
    assert_eq!(guest.write(2, &[b"err"]), Ok(3));
    assert_eq!(stdout.contents(), &b"outputmo"[..]);
    assert_eq!(stderr.contents(), &b"err"[..]);
    assert_eq!(errno(guest.write(0, &[b"x"])), Errno::Badf);
    assert_eq!(errno(guest.read(1, 1)), Errno::Badf);
    assert_eq!(errno(guest.pwrite(1, b"x", 0)), Errno::Spipe);
    let (kind, flags, base, _) = guest.fdstat(0).unwrap();
    assert_eq!((kind, flags, base), (0, 0, READ));
    assert_eq!(guest.fdstat(1).unwrap().2, WRITE);
    assert_eq!(guest.fstat(1).unwrap().kind, 0);
}

/// Counts the calls and keeps the bytes; claims to be a terminal.
struct Counting(Arc<Mutex<(usize, Vec<u8>)>>);

impl OutputStream for Counting {
    fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        state.0 += 1;
        buffers.iter().for_each(|buffer| state.1.extend_from_slice(buffer));
        Ok(buffers.iter().map(|buffer| buffer.len()).sum())
    }
    fn is_terminal(&self) -> bool {
        true
    }
}

#[test]
fn several_buffers_are_one_write() {
    let state = Arc::new(Mutex::new((0, vec![])));
    let mut guest = Guest::new(WasiCtxBuilder::new().stdout(Counting(state.clone())).build());
    assert_eq!(guest.write(1, &[b"a", b"", b"bc", b"d"]), Ok(4));
    assert_eq!(*state.lock().unwrap(), (1, b"abcd".to_vec()));
    assert_eq!(guest.fdstat(1).unwrap().0, 2);
}

/// A list of buffers is one write, as with `writev`: the whole list is checked first, so after an error it is known what was
/// written.
#[test]
fn both_buffers_are_written_and_nothing_with_a_bad_one() {
    let stdout = MemoryOutputPipe::new(100);
    let mut guest = Guest::new(WasiCtxBuilder::new().stdout(stdout.clone()).build());
    assert_eq!(guest.write(1, &[b"one", b"two"]), Ok(6));
    assert_eq!(stdout.contents(), &b"onetwo"[..]);
    let (list, len) = guest.buffers(&[b"four", b"five", b"six"]);
    let end = guest.bytes.len() as u32;
    for bad in 0..3 {
        for (at, size) in [(end, 1), (end - 1, 2), (u32::MAX, u32::MAX), (0x4000_0000, 3), (end + 1, 0)] {
            guest.buffers(&[b"four", b"five", b"six"]);
            guest.put(list + bad * 8, &at.to_le_bytes());
            guest.put(list + bad * 8 + 4, &size.to_le_bytes());
            let result = guest.call(|ctx, memory| p1::fd_write(ctx, memory, 1, list, len, 0));
            assert_eq!(errno(result), Errno::Fault, "buffer {bad}: {size} bytes at {at:#x}");
        }
    }
    assert_eq!(stdout.contents(), &b"onetwo"[..]);
    // At the end of the memory only an empty buffer fits.
    guest.buffers(&[b"four", b"five", b"six"]);
    guest.put(list + 8, &end.to_le_bytes());
    guest.put(list + 12, &0_u32.to_le_bytes());
    guest.call(|ctx, memory| p1::fd_write(ctx, memory, 1, list, len, 0)).unwrap();
    assert_eq!(stdout.contents(), &b"onetwofoursix"[..]);
}

#[test]
fn a_broken_pipe_is_an_errno() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let file = std::fs::File::from(std::os::fd::OwnedFd::from(writer));
    let mut guest = Guest::new(WasiCtxBuilder::new().stdout(OutputFile::new(file)).build());
    assert_eq!(errno(guest.write(1, &[b"x"])), Errno::Pipe);
}

/// Fails with "interrupted" a few times.
struct Interrupted(AtomicUsize);

impl InputStream for Interrupted {
    fn read(&self, buffers: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        if self.0.fetch_sub(1, Ordering::Relaxed) > 1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        buffers[0][0] = b'x';
        Ok(1)
    }
}

#[test]
fn interrupted_calls_start_over_unless_the_guest_is_to_end() {
    let mut guest = Guest::new(WasiCtxBuilder::new().stdin(Interrupted(AtomicUsize::new(5))).build());
    assert_eq!(guest.read(0, 1), Ok(b"x".to_vec()));
    let mut builder = WasiCtxBuilder::new();
    builder.stdin(Interrupted(AtomicUsize::new(5))).interrupted(|| true);
    let mut guest = Guest::new(builder.build());
    assert!(matches!(guest.read(0, 1), Err(Error::Trap(_))));
}

#[test]
fn arguments_and_environment() {
    let mut builder = WasiCtxBuilder::new();
    builder.arg("prog").args(&["", "ü"]).env("A", "1").envs(&[("B", "x=y")]);
    let mut guest = Guest::new(builder.build());
    guest.call(|ctx, memory| p1::args_sizes_get(ctx, memory, 0, 4)).unwrap();
    assert_eq!(guest.get::<8>(0), [3, 0, 0, 0, 9, 0, 0, 0]);
    guest.call(|ctx, memory| p1::args_get(ctx, memory, 0, 0x100)).unwrap();
    assert_eq!(&guest.get::<9>(0x100), "prog\0\0ü\0".as_bytes());
    assert_eq!(guest.get::<12>(0), [0, 1, 0, 0, 5, 1, 0, 0, 6, 1, 0, 0]);
    guest.call(|ctx, memory| p1::environ_sizes_get(ctx, memory, 0, 4)).unwrap();
    assert_eq!(guest.get::<8>(0), [2, 0, 0, 0, 10, 0, 0, 0]);
    guest.call(|ctx, memory| p1::environ_get(ctx, memory, 0, 0x100)).unwrap();
    assert_eq!(&guest.get::<10>(0x100), b"A=1\0B=x=y\0");
    // Exactly at the end of the memory, and one byte too far.
    let end = guest.bytes.len() as u32;
    guest.call(|ctx, memory| p1::args_get(ctx, memory, 0, end - 9)).unwrap();
    let result = guest.call(|ctx, memory| p1::args_get(ctx, memory, 0, end - 8));
    assert_eq!(errno(result), Errno::Fault);
}

#[test]
fn randomness_is_random_or_given() {
    let fill = |mut guest: Guest| {
        guest.call(|ctx, memory| p1::random_get(ctx, memory, 0, 200_000)).unwrap();
        assert!(guest.bytes[200_000..].iter().all(|&byte| byte == 0));
        guest.bytes
    };
    let fresh = || Guest::new(WasiCtxBuilder::new().build());
    assert_ne!(fill(fresh()), fill(fresh()));
    let seeded = || Guest::new(WasiCtxBuilder::new().secure_random(SeededRandom::new(3)).build());
    assert_eq!(fill(seeded()), fill(seeded()));
}

/// Like `memory.fill` of no bytes: valid exactly at the end of the memory, invalid behind it.
#[test]
fn no_random_bytes_have_an_address_too() {
    let mut guest = Guest::new(WasiCtxBuilder::new().build());
    let end = guest.bytes.len() as u32;
    for at in [0, 1, end - 1, end] {
        guest.call(|ctx, memory| p1::random_get(ctx, memory, at, 0)).unwrap();
    }
    for at in [end + 1, 2 * end, u32::MAX] {
        assert_eq!(
            errno(guest.call(|ctx, memory| p1::random_get(ctx, memory, at, 0))),
            Errno::Fault,
            "{at:#x}"
        );
    }
    assert_eq!(errno(guest.call(|ctx, memory| p1::random_get(ctx, memory, end, 1))), Errno::Fault);
    assert!(guest.bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn a_blocked_thread_blocks_no_other() {
    let (reader, mut writer) = io::pipe().unwrap();
    let stdin = InputFile::new(std::fs::File::from(std::os::fd::OwnedFd::from(reader)));
    let stdout = MemoryOutputPipe::new(100);
    let ctx = WasiCtxBuilder::new().stdin(stdin).stdout(stdout.clone()).build();
    let mut other = Guest::new(ctx.share());
    let thread = std::thread::spawn(move || other.read(0, 9));
    std::thread::sleep(Duration::from_millis(20));
    let mut guest = Guest::new(ctx);
    guest.write(1, &[b"still here"]).unwrap();
    guest.close(0).unwrap();
    assert_eq!(stdout.contents(), &b"still here"[..]);
    writer.write_all(b"data").unwrap();
    assert_eq!(thread.join().unwrap(), Ok(b"data".to_vec()));
}

#[test]
fn contexts_can_be_sent() {
    fn send<T: Send + Sync>() {}
    send::<belljar_wasi::WasiCtx>();
}
