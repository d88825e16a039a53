//! Hostile streams, clocks and sources of randomness, behind WASI.

use crate::Row;
use crate::store_pair::{StorePair, assert_is_a_message};
use belljar::{Linker, Module, Store};
use belljar_wasi::*;
use std::io::{self, IoSlice, IoSliceMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

/// Reports something else each time, all of it wrong.
#[derive(Default)]
struct Liar(AtomicU32);

impl Liar {
    fn count(&self) -> io::Result<usize> {
        match self.0.fetch_add(1, SeqCst) % 5 {
            0 => Ok(usize::MAX),
            1 => Ok(1 << 20),
            2 => Err(io::ErrorKind::Other.into()),
            3 => Ok(0),
            _ => panic!("the adversary's stream"),
        }
    }
}

impl InputStream for Liar {
    fn read(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        buffers.iter_mut().for_each(|buffer| buffer.fill(7));
        self.count()
    }
    fn available(&self) -> u64 {
        u64::MAX
    }
}

impl OutputStream for Liar {
    fn write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        self.count()
    }
    fn is_terminal(&self) -> bool {
        true
    }
}

impl HostWallClock for Liar {
    fn resolution(&self) -> Duration {
        Duration::MAX
    }
    fn now(&self) -> Duration {
        if self.0.fetch_add(1, SeqCst).is_multiple_of(2) {
            Duration::MAX
        } else {
            panic!("the adversary's clock")
        }
    }
}

impl HostMonotonicClock for Liar {
    fn resolution(&self) -> u64 {
        0
    }
    fn now(&self) -> u64 {
        // Backwards.
        u64::MAX - u64::from(self.0.fetch_add(1, SeqCst))
    }
    fn advance(&self, _: Duration) -> bool {
        true
    }
}

impl HostCpuClock for Liar {
    fn resolution(&self) -> u64 {
        u64::MAX
    }
    fn process(&self) -> u64 {
        u64::MAX
    }
    fn thread(&self) -> u64 {
        panic!("the adversary's clock")
    }
}

impl HostRandom for Liar {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(4);
        self.count().map(drop)
    }
}

const WAT: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_res_get" (func $resolution (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "\00\01\00\00\40\00\00\00\00\02\00\00\40\00\00\00")
    ;; How many bytes were moved, if that was no error.
    (func (export "read") (result i32) (drop (call $read (i32.const 0) (i32.const 0) (i32.const 2) (i32.const 32))) (i32.load (i32.const 32)))
    (func (export "write") (result i32) (drop (call $write (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 32))) (i32.load (i32.const 32)))
    (func (export "random") (result i32) (drop (call $random (i32.const 64) (i32.const 1000))) (i32.const 0))
    (func (export "clocks") (result i32) (local $i i32)
        (loop $l (drop (call $resolution (local.get $i) (i32.const 32))) (drop (call $time (local.get $i) (i64.const 0) (i32.const 32)))
            (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4))))
        (i32.const 0))
    (func (export "poll") (result i32)
        (i32.store8 (i32.const 2056) (i32.const 1)) (i32.store (i32.const 2064) (i32.const 0))
        (drop (call $poll (i32.const 2048) (i32.const 4096) (i32.const 1) (i32.const 32))) (i32.const 0))
    (func (export "strings") (result i32) (drop (call $args (i32.const 1024) (i32.const 2048))) (drop (call $environ (i32.const 1024) (i32.const 2048))) (i32.const 0)))"#;

fn streams(pair: &mut StorePair) {
    let mut linker: Linker<WasiCtx> = Linker::new(&pair.engine);
    p1::add_to_linker(&mut linker, |ctx| ctx).unwrap();
    let module = Module::new(&pair.engine, WAT).unwrap();
    let asked = AtomicU32::new(0);
    let mut builder = WasiCtxBuilder::new();
    builder.stdin(Liar::default()).stdout(Liar::default()).stderr(Liar::default());
    builder.wall_clock(Liar::default()).monotonic_clock(Liar::default()).cpu_clock(Liar::default());
    builder.secure_random(Liar::default());
    builder.interrupted(move || match asked.fetch_add(1, SeqCst) % 7 {
        6 => panic!("the adversary's check"),
        asked => asked == 5,
    });
    let name = String::from("\u{1b}[31m\n\0=\u{202e}");
    builder.arg(&name).args(&[&name, &name]).env(&name, &name).envs(&[(&name, &name)]);
    let mut store = Store::new(&pair.engine, builder.build());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    for export in ["read", "write", "random", "clocks", "poll", "strings"] {
        let f = instance.get_typed_func::<(), i32>(&mut store, export).unwrap();
        for _ in 0..20 {
            match catch_unwind(AssertUnwindSafe(|| f.call(&mut store, ()))) {
                Ok(Ok(count)) => assert!((0..=128).contains(&count), "{export}: {count} bytes of 128"),
                Ok(Err(_)) => {}
                Err(panic) => assert_is_a_message(export, &*panic),
            }
        }
    }
}

fn grants(_: &mut StorePair) {
    let folder = tempfile::tempdir().unwrap();
    let mut builder = WasiCtxBuilder::new();
    for (host, guest) in [("/nonexistent", "/"), ("", ""), ("/dev/null", "a")] {
        assert!(builder.preopened_dir(host, guest, (DirPerms::all(), FilePerms::all())).is_err(), "{host}");
    }
    assert!(
        builder.preopened_dir(folder.path(), "\u{1b}/../..", (DirPerms::all(), FilePerms::all())).is_ok()
    );
    let pipe = MemoryInputPipe::new("some bytes".as_bytes());
    builder.stdin(pipe).build();
}

const SAFE: &str =
    "takes paths and texts only, which are converted once; cli and wasi have tests of hostile ones";

pub(crate) const ROWS: &[(&str, Row)] = &[
    ("MemoryInputPipe::new", Row::Stores(grants)),
    ("WasiCtxBuilder::arg", Row::Stores(streams)),
    ("WasiCtxBuilder::args", Row::Stores(streams)),
    ("WasiCtxBuilder::cpu_clock", Row::Stores(streams)),
    ("WasiCtxBuilder::env", Row::Stores(streams)),
    ("WasiCtxBuilder::envs", Row::Stores(streams)),
    ("WasiCtxBuilder::initial_cwd", Row::Harmless("a text that guests of WASI 0.2 can read")),
    ("WasiCtxBuilder::insecure_random", Row::Harmless("as secure_random, for guests of WASI 0.2")),
    ("WasiCtxBuilder::interrupted", Row::Stores(streams)),
    ("WasiCtxBuilder::monotonic_clock", Row::Stores(streams)),
    (
        "WasiCtxBuilder::name_lookup_check",
        Row::Harmless("called for guests of WASI 0.2, with a text, while no lock is held"),
    ),
    ("WasiCtxBuilder::preopened_dir", Row::Stores(grants)),
    ("WasiCtxBuilder::preopened_socket", Row::Harmless("takes sockets that the host has opened")),
    ("WasiCtxBuilder::secure_random", Row::Stores(streams)),
    (
        "WasiCtxBuilder::socket_addr_check",
        Row::Harmless("called for guests of WASI 0.2, with an address, while no lock is held"),
    ),
    ("WasiCtxBuilder::stderr", Row::Stores(streams)),
    ("WasiCtxBuilder::stdin", Row::Stores(streams)),
    ("WasiCtxBuilder::stdout", Row::Stores(streams)),
    ("WasiCtxBuilder::wall_clock", Row::Stores(streams)),
    ("CacheChoice::directory", Row::Harmless(SAFE)),
    ("CacheChoice::of", Row::Harmless(SAFE)),
    ("CacheConfig::at", Row::Harmless(SAFE)),
    ("CacheConfig::with_directory", Row::Harmless(SAFE)),
];
