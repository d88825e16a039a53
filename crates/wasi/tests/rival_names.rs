//! The names and shapes of Wasmtime's and Wasmi's crates for WASI: what they do for WASI 0.1.

use belljar::{Engine, Error, Extern, Instance, Linker, Module, Result, Store};
use belljar_wasi::p1::WasiP1Ctx;
use belljar_wasi::p2::pipe::{
    ClosedInputStream, ClosedOutputStream, MemoryInputPipe, MemoryOutputPipe, SinkOutputStream,
};
use belljar_wasi::random::{DEFAULT_MAX_SIZE, HostRandom};
use belljar_wasi::sync::{self, AddWasi, StringArrayError};
use belljar_wasi::{
    Deterministic, DirPerms, FilePerms, FsPerms, I32Exit, InputStream, OutputStream, WasiCtx, WasiCtxBuilder,
    add_to_externals, add_to_linker, cli, clocks, filesystem, p0, p1, thread_rng,
};
use std::io::{IoSlice, IoSliceMut};
use std::sync::Arc;
use std::time::Duration;

/// Echoes standard input to standard output and to standard error, and exits with the number of bytes; 200 and more is an
/// errno.
const ECHO: &str = r#"(module
    (import "MODULE" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "MODULE" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "MODULE" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func $must (param i32)
        (if (local.get 0) (then (call $exit (i32.add (i32.const 200) (local.get 0))))))
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 100))
        (i32.store (i32.const 4) (i32.const 64))
        (call $must (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (call $must (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
        (call $must (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 12)))
        (call $exit (i32.load (i32.const 8)))))"#;

fn module(engine: &Engine, of: &str) -> Result<Module> {
    Module::new(engine, ECHO.replace("MODULE", of))
}

/// Runs a program that ends by exiting.
fn run(instance: Instance, store: &mut Store<WasiP1Ctx>) -> Result<i32> {
    let start = instance.get_typed_func::<(), ()>(&*store, "_start")?;
    let error = start.call(store, ()).unwrap_err();
    Ok(error.downcast_ref::<I32Exit>().unwrap_or_else(|| panic!("{error:?}")).0)
}

#[test]
fn a_program_runs_as_with_wasmtime() -> Result<()> {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    p1::add_to_linker_sync(&mut linker, |s| s)?;
    let (stdout, stderr) = (MemoryOutputPipe::new(100), MemoryOutputPipe::new(100));
    let stdin = MemoryInputPipe::new("hello");
    let wasi = WasiCtx::builder()
        .stdin(stdin.clone())
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .arg("program")
        .inherit_env()
        .initial_cwd("/")
        .allow_blocking_current_thread(true)
        .inherit_network()
        .allow_ip_name_lookup(true)
        .allow_tcp(false)
        .allow_udp(false)
        .insecure_random(Deterministic::new(vec![1]))
        .insecure_random_seed(7)
        .build_p1();
    let mut store = Store::new(&engine, wasi);
    let instance = linker.instantiate(&mut store, &module(&engine, "wasi_snapshot_preview1")?)?;
    assert_eq!(run(instance, &mut store)?, 5);
    assert!(stdin.is_empty());
    assert_eq!(stdout.contents(), "hello");
    drop(store);
    assert_eq!(stderr.try_into_inner().unwrap(), "hello");

    // Only what was added is there.
    let mut store = Store::new(&engine, WasiCtx::builder().build_p1());
    assert!(linker.instantiate(&mut store, &module(&engine, "wasi_unstable")?).is_err());
    Ok(())
}

#[test]
fn both_versions_are_added_alone_or_together() -> Result<()> {
    let engine = Engine::default();
    let exit = |linker: &Linker<Host>, of: &str| -> Result<i32> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdin(MemoryInputPipe::new("abc"));
        let mut store = Store::new(&engine, Host { wasi: wasi.build() });
        let instance = linker.instantiate(&mut store, &module(&engine, of)?)?;
        let error = instance.get_typed_func::<(), ()>(&store, "_start")?.call(&mut store, ()).unwrap_err();
        Ok(error.downcast::<I32Exit>()?.0)
    };
    struct Host {
        wasi: WasiCtx,
    }
    let mut old = Linker::new(&engine);
    p0::add_to_linker_sync(&mut old, |host: &mut Host| &mut host.wasi)?;
    assert_eq!(exit(&old, "wasi_unstable")?, 3);
    assert!(exit(&old, "wasi_snapshot_preview1").is_err());
    let mut separately = old.clone();
    p1::add_to_linker_sync(&mut separately, |host: &mut Host| &mut host.wasi)?;
    let mut together = Linker::new(&engine);
    p1::add_to_linker(&mut together, |host: &mut Host| &mut host.wasi)?;
    for linker in [separately, together] {
        assert_eq!(exit(&linker, "wasi_unstable")?, 3);
        assert_eq!(exit(&linker, "wasi_snapshot_preview1")?, 3);
    }
    assert!(p0::add_to_linker_sync(&mut old, |host: &mut Host| &mut host.wasi).is_err());
    // A closure may capture what is `Copy`.
    let offset = 0_usize;
    let mut linker = Linker::<Vec<WasiCtx>>::new(&engine);
    p1::add_to_linker_sync(&mut linker, move |contexts| &mut contexts[offset])?;
    Ok(())
}

#[test]
fn a_program_runs_as_with_wasmi() -> Result<()> {
    let engine = Engine::default();
    let module = module(&engine, "wasi_snapshot_preview1")?;
    let stdout = MemoryOutputPipe::new(100);
    let context = || {
        let mut builder = sync::WasiCtxBuilder::new();
        builder.inherit_stdio().inherit_args().unwrap().stdin(Box::new(MemoryInputPipe::new("hi")));
        builder.stdout(stdout.clone()).stderr(std::io::sink()).build()
    };
    let mut linker = <Linker<WasiCtx>>::new(&engine);
    add_to_linker(&mut linker, |ctx| ctx)?;
    let mut store = Store::new(&engine, context());
    let instance = linker.instantiate(&mut store, &module)?;
    assert!(instance.get_export(&store, "_start").and_then(Extern::into_func).is_some());
    assert_eq!(run(instance, &mut store)?, 2);

    let mut linker = <Linker<WasiCtx>>::new(&engine);
    linker.add_wasi(|ctx| ctx)?;
    let mut store = Store::new(&engine, context());
    let instance = linker.instantiate(&mut store, &module)?;
    assert_eq!(run(instance, &mut store)?, 2);

    let mut store = Store::new(&engine, context());
    let mut externals = Vec::new();
    add_to_externals(&mut store, &module, &mut externals, |ctx| ctx)?;
    assert_eq!(externals.len(), 3);
    let instance = Instance::new(&mut store, &module, &externals)?;
    assert_eq!(run(instance, &mut store)?, 2);
    assert_eq!(stdout.contents(), "hihihi");

    for (import, told) in [
        (r#""env" "f""#, "the import `env` `f` is no function of wasi_snapshot_preview1"),
        (
            r#""wasi_snapshot_preview1" "f\1b""#,
            r"the import `wasi_snapshot_preview1` `f\u{1b}` is no function of wasi_snapshot_preview1",
        ),
    ] {
        let other = Module::new(
            &engine,
            format!(
                r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32))) (import {import} (func)))"#
            ),
        )?;
        let error = add_to_externals(&mut store, &other, &mut externals, |ctx| ctx).unwrap_err();
        assert_eq!((error.to_string(), externals.len()), (told.into(), 0));
        assert_eq!(error.name().chars().next(), Some('f'));
        assert!(!error.module().is_empty());
    }
    Ok(())
}

#[test]
fn wasmis_builder_refuses_what_cannot_be_passed_on() -> Result<()> {
    let mut builder = sync::WasiCtxBuilder::new();
    assert_eq!(builder.arg("a\0b").map(drop), Err(StringArrayError::Nul));
    assert_eq!(builder.args(&["a".into(), "\0".into()]).map(drop), Err(StringArrayError::Nul));
    assert_eq!(builder.env("A\0", "b").map(drop), Err(StringArrayError::Nul));
    assert_eq!(builder.env("A", "\0b").map(drop), Err(StringArrayError::Nul));
    assert_eq!(builder.envs(&[("A".into(), "b\0".into())]).map(drop), Err(StringArrayError::Nul));
    builder.env("A", "b")?.envs(&[("C".into(), "d".into())])?.inherit_env()?;
    builder.inherit_stdin().inherit_stdout().inherit_stderr();

    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("file"), "contents")?;
    let open = |path: &std::path::Path| std::fs::File::open(path);
    builder.preopened_dir(open(directory.path())?, "/data")?;
    let error = builder.preopened_dir(open(&directory.path().join("file"))?, "/file").map(drop).unwrap_err();
    assert!(error.to_string().to_lowercase().contains("not a directory"), "{error}");
    let listener = || std::net::TcpListener::bind("127.0.0.1:0");
    let error = builder.preopened_socket(3, listener()?).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "the next descriptor has the number 4, and not 3");
    builder.preopened_socket(4, listener()?)?;
    let ctx = builder.build();
    // The directory has the name that it was given: see `fd_prestat_dir_name`.
    let mut bytes = [0; 16];
    let mut memory = belljar_wasi::GuestMemory::new(&mut bytes);
    p1::fd_prestat_dir_name(&ctx, &mut memory, 3, 0, 5).unwrap();
    assert_eq!(&bytes[..5], b"/data");
    Ok(())
}

#[test]
fn permissions_are_given_as_one_or_as_two() -> Result<()> {
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("file"), "contents")?;
    // Opens `file` in the directory for writing.
    let may_write = |builder: &mut WasiCtxBuilder| {
        let ctx = builder.build();
        let mut bytes = *b"file................";
        let mut memory = belljar_wasi::GuestMemory::new(&mut bytes);
        let write = 1 << 6;
        p1::path_open(&ctx, &mut memory, 3, 0, 0, 4, 0, write, 0, 0, 8).is_ok()
    };
    let path = directory.path();
    assert!(may_write(WasiCtxBuilder::new().preopened_dir(path, "/", FsPerms::ReadWrite)?));
    assert!(!may_write(WasiCtxBuilder::new().preopened_dir(path, "/", filesystem::FsPerms::ReadOnly)?));
    assert!(may_write(WasiCtxBuilder::new().preopened_dir(path, "/", (DirPerms::READ, FilePerms::all()))?));
    assert!(!may_write(WasiCtxBuilder::new().preopened_dir(
        path,
        "/",
        (DirPerms::all(), FilePerms::READ)
    )?));
    assert!(FsPerms::ReadOnly.write_not_permitted() && !FsPerms::ReadWrite.write_not_permitted());
    Ok(())
}

#[test]
fn randomness_is_replaced_and_limited() -> Result<()> {
    let get = |builder: &mut WasiCtxBuilder, length: u32| -> Result<Vec<u8>> {
        let ctx = builder.build();
        let mut bytes = [0; 16];
        let mut memory = belljar_wasi::GuestMemory::new(&mut bytes);
        p1::random_get(&ctx, &mut memory, 0, length).map_err(|error| Error::msg(format!("{error:?}")))?;
        Ok(bytes[..length as usize].to_vec())
    };
    let bytes = || Deterministic::new(vec![1, 2, 3]);
    assert_eq!(get(WasiCtxBuilder::new().secure_random(bytes()), 7)?, [1, 2, 3, 1, 2, 3, 1]);
    assert_ne!(get(WasiCtxBuilder::new().secure_random(thread_rng()), 16)?, [0; 16]);
    assert!(get(WasiCtxBuilder::new().secure_random(Deterministic::new(vec![])), 1).is_err());
    assert!(get(WasiCtxBuilder::new().max_random_size(7).secure_random(bytes()), 7).is_ok());
    let error = get(WasiCtxBuilder::new().max_random_size(6), 7).unwrap_err().to_string();
    assert!(error.contains("7 random bytes at once, and may ask for 6"), "{error}");
    assert!(get(WasiCtxBuilder::new().max_random_size(DEFAULT_MAX_SIZE), 16).is_ok());
    Box::new(bytes()).fill(&mut [0; 2])?;
    Ok(())
}

#[test]
fn clocks_are_those_of_the_system_or_replaced() {
    use clocks::{HostMonotonicClock, HostWallClock};
    struct Still;
    impl HostWallClock for Still {
        fn resolution(&self) -> Duration {
            Duration::from_nanos(5)
        }
        fn now(&self) -> Duration {
            Duration::from_secs(77)
        }
    }
    let time = |builder: &mut WasiCtxBuilder, clock| {
        let mut bytes = [0; 8];
        let ctx = builder.build();
        p1::clock_time_get(&ctx, &mut belljar_wasi::GuestMemory::new(&mut bytes), clock, 0, 0).unwrap();
        Duration::from_nanos(u64::from_le_bytes(bytes))
    };
    assert_eq!(time(WasiCtxBuilder::new().wall_clock(Box::new(Still)), 0), Duration::from_secs(77));
    let now = clocks::WallClock::new().now();
    assert!(time(WasiCtxBuilder::new().wall_clock(clocks::wall_clock()), 0) >= now);
    assert!(clocks::WallClock.resolution() > Duration::ZERO);
    let clock = clocks::MonotonicClock::new();
    std::thread::sleep(Duration::from_millis(2));
    assert!(clock.now() >= 2_000_000 && clock.resolution() > 0);
    assert!(time(WasiCtxBuilder::new().monotonic_clock(clock), 1) >= Duration::from_millis(2));
    assert!(
        time(WasiCtxBuilder::new().monotonic_clock(clocks::monotonic_clock()), 1) < Duration::from_secs(1000)
    );
}

#[test]
fn streams_of_the_standard_library_and_files_work() -> Result<()> {
    let write = |stream: &dyn OutputStream| stream.write(&[IoSlice::new(b"ab"), IoSlice::new(b"c")]);
    assert_eq!(write(&SinkOutputStream)?, 3);
    assert_eq!((write(&std::io::sink())?, write(&std::io::empty())?), (3, 3));
    assert_eq!(write(&ClosedOutputStream).unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    let read = |stream: &dyn InputStream| {
        let mut bytes = [0; 9];
        stream.read(&mut [IoSliceMut::new(&mut bytes)]).map(|read| bytes[..read].to_vec())
    };
    assert!(read(&ClosedInputStream)?.is_empty() && read(&std::io::empty())?.is_empty());

    let file = tempfile::NamedTempFile::new()?;
    assert_eq!(write(&Arc::new(cli::OutputFile::new(file.reopen()?)))?, 3);
    let input: Box<dyn cli::StdinStream> = Box::new(cli::InputFile::new(file.reopen()?));
    assert!(input.poll_fd().is_some() && !input.is_terminal());
    assert_eq!(read(&input)?, b"abc");
    fn takes(_: impl cli::StdinStream, _: impl cli::StdoutStream, _: impl cli::StdoutStream) {}
    takes(cli::stdin(), cli::stdout(), cli::stderr());
    takes(input, std::io::stdout(), std::io::stderr());
    assert_eq!(format!("{:?} {:?} {:?}", cli::stdin(), cli::stdout(), cli::stderr()), "Stdin Stdout Stderr");
    Ok(())
}
