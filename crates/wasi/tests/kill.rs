//! Kills guests that spend all their time in one WASI function, at random moments. The table has a row for each function.
//!
//! With `BELLJAR_LONG_TESTS` each is killed 10,000 times, or as often as ten minutes allow.

#[path = "../../belljar/tests/killer/mod.rs"]
mod killer;

use belljar::{Engine, Linker, Module, Store};
use belljar_wasi::p1::{FUNCTIONS, Signature, ValueType};
use belljar_wasi::{DirPerms, FilePerms, InputFile, WasiCtx, WasiCtxBuilder, p1};
use killer::{Killer, TIMEOUT};
use std::fmt::Write;
use std::io::pipe;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// How long a function may take.
enum Takes {
    /// A short time, whatever its arguments: it is called with zeros.
    Moments,
    /// A long time, if it is called like this.
    Long(&'static str),
    /// It ends the guest itself.
    End,
}

/// The bodies of `$call` use: a memory of 64 MiB, `$file`, an open file of 64 MiB, `$dir`, the directory with it and with 6,000
/// other files, and standard input, a pipe that stays empty.
fn takes(function: &str) -> Takes {
    Takes::Long(match function {
        // 64 MiB, in one piece and in two.
        "random_get" => "(drop (call $random_get (i32.const 64) (i32.const 67000000)))",
        "fd_read" => "(drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 32)))",
        "fd_pread" => {
            "(drop (call $fd_pread (global.get $file) (i32.const 0) (i32.const 2) (i64.const 0) (i32.const 32)))"
        }
        "fd_pwrite" => {
            "(drop (call $fd_pwrite (global.get $file) (i32.const 0) (i32.const 2) (i64.const 0) (i32.const 32)))"
        }
        "fd_write" => {
            "(drop (call $fd_seek (global.get $file) (i64.const 0) (i32.const 0) (i32.const 40)))
             (drop (call $fd_write (global.get $file) (i32.const 0) (i32.const 2) (i32.const 32)))"
        }
        "fd_readdir" => {
            "(drop (call $fd_readdir (i32.const 3) (i32.const 64) (i32.const 60000000) (i64.const 0) (i32.const 32)))"
        }
        // A clock that is a minute away.
        "poll_oneoff" => {
            "(drop (call $poll_oneoff (i32.const 128) (i32.const 256) (i32.const 1) (i32.const 32)))"
        }
        "fd_sync" => "(drop (call $fd_sync (global.get $file)))",
        "fd_datasync" => "(drop (call $fd_datasync (global.get $file)))",
        "fd_allocate" => "(drop (call $fd_allocate (global.get $file) (i64.const 0) (i64.const 1000000)))",
        "fd_filestat_set_size" => {
            "(drop (call $fd_filestat_set_size (global.get $file) (i64.const 67108864)))"
        }
        "path_open" => {
            "(drop (call $path_open (i32.const 3) (i32.const 0) (i32.const 48) (i32.const 1) (i32.const 0)
                (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 32)))
             (drop (call $fd_close (i32.load (i32.const 32))))"
        }
        "proc_exit" | "proc_raise" => return Takes::End,
        "args_get"
        | "args_sizes_get"
        | "environ_get"
        | "environ_sizes_get"
        | "clock_res_get"
        | "clock_time_get"
        | "fd_advise"
        | "fd_close"
        | "fd_fdstat_get"
        | "fd_fdstat_set_flags"
        | "fd_fdstat_set_rights"
        | "fd_filestat_get"
        | "fd_filestat_set_times"
        | "fd_prestat_get"
        | "fd_prestat_dir_name"
        | "fd_renumber"
        | "fd_seek"
        | "fd_tell"
        | "path_create_directory"
        | "path_filestat_get"
        | "path_filestat_set_times"
        | "path_link"
        | "path_readlink"
        | "path_remove_directory"
        | "path_rename"
        | "path_symlink"
        | "path_unlink_file"
        | "sched_yield"
        | "sock_accept"
        | "sock_recv"
        | "sock_send"
        | "sock_shutdown" => {
            return Takes::Moments;
        }
        other => panic!("{other} has no row: say how long it may take"),
    })
}

fn wasm_type(ty: &ValueType) -> &'static str {
    match ty {
        ValueType::I32 => "i32",
        ValueType::I64 => "i64",
    }
}

/// A guest that only calls this function.
fn guest(function: &Signature) -> Option<String> {
    let mut wat = String::from("(module (import \"host\" \"runs\" (func $runs))\n");
    for Signature { name, params, returns, .. } in FUNCTIONS {
        let params: String = params.iter().map(|ty| format!(" {}", wasm_type(ty))).collect();
        let result = if *returns { "(result i32)" } else { "" };
        writeln!(
            wat,
            "(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} (param{params}) {result}))"
        )
        .unwrap();
    }
    let zeros: String = function.params.iter().map(|ty| format!("({}.const 0)", wasm_type(ty))).collect();
    let plain = format!("(drop (call ${} {zeros}))", function.name);
    let body = match takes(function.name) {
        Takes::Moments => &plain,
        Takes::Long(body) => body,
        Takes::End => return None,
    };
    write!(
        wat,
        "(global $file (mut i32) (i32.const -1)) (memory (export \"memory\") 1024)
        (data (i32.const 0) \"\\00\\10\\00\\00\\00\\00\\f8\\01\\00\\20\\f8\\01\\00\\00\\f8\\01\") (data (i32.const 48) \"f\")
        (data (i32.const 144) \"\\01\\00\\00\\00\\00\\00\\00\\00\\00\\58\\47\\f8\\0d\\00\\00\\00\")
        (func (export \"run\")
            (drop (call $path_open (i32.const 3) (i32.const 0) (i32.const 48) (i32.const 1) (i32.const 0)
                (i64.const -1) (i64.const 0) (i32.const 0) (i32.const 32)))
            (global.set $file (i32.load (i32.const 32)))
            (call $runs) (loop $again {body} (br $again))))"
    )
    .unwrap();
    Some(wat)
}

fn ctx(folder: &Path, input: std::fs::File) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder.preopened_dir(folder, "/", (DirPerms::all(), FilePerms::all())).unwrap();
    builder.stdin(InputFile::new(input)).build()
}

/// Kills a guest so many times, or until the time is over. Returns how often, and the longest time from a kill to its end.
fn kill(name: &str, wat: &str, folder: &Path, tries: u32, time: Duration) -> (u32, Duration) {
    let engine = Engine::default();
    let module = Module::new(&engine, wat).unwrap_or_else(|e| panic!("{name}: {e:?}\n{wat}"));
    let mut killer = Killer::new(name.len() as u32);
    let runs = killer.runs;
    let mut linker: Linker<WasiCtx> = Linker::new(&engine);
    p1::add_to_linker(&mut linker, |ctx| ctx).unwrap();
    linker.func_wrap("host", "runs", || runs.store(true, SeqCst)).unwrap();
    let (nothing, _kept_open) = pipe().unwrap();
    let end = Instant::now() + time;
    let mut count = 0;
    while count < tries && (count == 0 || Instant::now() < end) {
        let input = std::os::fd::OwnedFd::from(nothing.try_clone().unwrap()).into();
        let mut store = Store::new(&engine, ctx(folder, input));
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        killer.kill(name, store.kill_handle(), || run.call(&mut store, ()));
        count += 1;
    }
    (count, killer.end())
}

#[test]
fn a_guest_is_killed_in_whatever_it_calls() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::File::create(folder.path().join("f")).unwrap().set_len(64 << 20).unwrap();
    for i in 0..6000 {
        std::fs::File::create(folder.path().join(format!("other-{i}"))).unwrap();
    }
    let is_long = std::env::var_os("BELLJAR_LONG_TESTS").is_some();
    let (tries, time) =
        if is_long { (10_000, Duration::from_secs(600)) } else { (10, Duration::from_millis(500)) };
    for function in FUNCTIONS {
        let Some(wat) = guest(function) else { continue };
        let (count, longest) = kill(function.name, &wat, folder.path(), tries, time);
        println!("{:24} killed {count} times, within {longest:?} each", function.name);
        assert!(longest < TIMEOUT);
    }
}
