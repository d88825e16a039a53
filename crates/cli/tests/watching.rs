//! Running programs inspected by other processes: guests that hang, each in a different way, and profiles of them.

use serde_json::Value;
use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running program, killed when this is dropped. Its standard error is captured.
struct Running {
    home: TempDir,
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// If the tests run in the background, the parent may have made them ignore Ctrl-C, which child processes inherit: this
/// resets it.
const LISTENING: [&str; 2] = ["env", "--default-signal=INT"];

fn command(home: &TempDir) -> Command {
    static CAN_LISTEN: OnceLock<bool> = OnceLock::new();
    let can_listen =
        || Command::new(LISTENING[0]).args([LISTENING[1], "true"]).status().is_ok_and(|s| s.success());
    let program = env!("CARGO_BIN_EXE_belljar");
    let mut command = match *CAN_LISTEN.get_or_init(can_listen) {
        true => Command::new(LISTENING[0]),
        false => Command::new(program),
    };
    if command.get_program() != program {
        command.args([LISTENING[1], program]);
    }
    command.env("BELLJAR_RUNTIME_DIR", home.path().join("runtime")).env("BELLJAR_CACHE", "off");
    command.current_dir(home.path());
    command
}

impl Running {
    /// Runs a module with these options. Its standard input stays open.
    fn start(wat: &str, options: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("guest.wat"), wat).unwrap();
        let mut program = command(&home);
        program.arg("run").args(options).arg("guest.wat").stdin(Stdio::piped()).stderr(Stdio::piped());
        let child = program.spawn();
        Self { child: child.unwrap(), home }
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    fn belljar(&self, args: &[&str]) -> Output {
        command(&self.home).args(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs `belljar` until its output contains a text. Returns the output.
    fn until(&self, args: &[&str], wanted: &str) -> String {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let output = self.belljar(args);
            let text = String::from_utf8(output.stdout).unwrap();
            if text.contains(wanted) {
                return text;
            }
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(Instant::now() < end, "no `{wanted}` in:\n{text}{errors}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

const SPIN: &str = r#"(module $spinner
    (memory (export "memory") 3)
    (global $g (mut i32) (i32.const 0))
    (func $spin (loop
        (global.set $g
            (i32.add (global.get $g) (i32.const 1)))
        (br 0)))
    (func (export "_start") (call $spin)))"#;

#[test]
fn an_endless_loop_is_listed_and_its_line_is_told() {
    let guest = Running::start(SPIN, &[]);
    let pid = guest.pid();
    let table = guest.until(&["ps"], "running spin");
    assert!(table.starts_with(&format!("{:>width$}", "PID", width = pid.len())), "{table}");
    let line = table.lines().nth(1).unwrap();
    assert!(line.starts_with(&pid) && line.contains("192 KiB") && line.ends_with("guest.wat"), "{table}");

    let stack = guest.until(&["stack", &pid], ": running spin\n");
    assert!(stack.contains("spinner!spin\n                    at ./guest.wat:"), "{stack}");
    assert!(stack.contains(", thread belljar ("), "{stack}");
    let lines = ["guest.wat:4", "guest.wat:5", "guest.wat:6", "guest.wat:7"];
    assert!(lines.iter().any(|line| stack.contains(line)), "{stack}");

    let report = guest.belljar(&["stack", &pid, "--json"]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["stores"][0]["frames"][0]["func_name"], "spin");
    assert_eq!(report["stores"][0]["memory_bytes"], 3 << 16);

    let top = String::from_utf8(guest.belljar(&["top", "-d", "100ms"]).stdout).unwrap();
    assert!(top.contains("CPU%") && top.contains("running spin"), "{top}");
}

#[test]
fn a_profile_of_another_process() {
    let guest = Running::start(SPIN, &[]);
    guest.until(&["ps"], "running spin");
    let pid = guest.pid();
    for file in ["out.txt", "out.svg", "out.json", "out.pb.gz"] {
        let output = guest.belljar(&["profile", &pid, "-d", "300ms", "-o", file]);
        let note = format!("note: the profile of process {pid} is in {file}: ");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && message.starts_with(&note), "{output:?}");
        assert!(message.ends_with(" samples in 300ms\n"), "{output:?}");
    }
    let text = std::fs::read_to_string(guest.home.path().join("out.txt")).unwrap();
    let (stack, count) = text.trim_end().rsplit_once(' ').unwrap();
    assert_eq!(stack, "belljar;_start;spin");
    assert!(count.parse::<u32>().unwrap() > 10, "{text}");
    let picture = std::fs::read_to_string(guest.home.path().join("out.svg")).unwrap();
    assert!(picture.contains("<svg") && picture.contains("spin"));

    let odd = guest.belljar(&["profile", &pid, "-o", "out"]);
    assert_eq!(odd.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&odd.stderr).contains(".svg (flame graph)"), "{odd:?}");
}

#[test]
fn a_guest_that_waits_for_input_is_seen_to_and_goes_on() {
    let wat = r#"(module $reader
        (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\40\00\00\00\10\00\00\00")
        (func $main (export "_start")
            (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then (call $exit (i32.const 9))))
            ;; The number of bytes that were read.
            (call $exit (i32.load (i32.const 8)))))"#;
    let mut guest = Running::start(wat, &[]);
    let pid = guest.pid();
    let state = "in host call wasi_snapshot_preview1::fd_read for ";
    let table = guest.until(&["ps"], state);
    assert!(table.contains(" s  guest.wat"), "{table}");
    // After a hundred inspections, the system call still continues undisturbed.
    for _ in 0..20 {
        guest.until(&["stack", &pid], state);
    }
    guest.child.stdin.take().unwrap().write_all(b"four").unwrap();
    assert_eq!(guest.child.wait().unwrap().code(), Some(4));
    let gone = guest.belljar(&["stack", &pid]);
    assert_eq!(gone.status.code(), Some(66), "{gone:?}");
    // Nothing is left of it.
    assert_eq!(std::fs::read_dir(guest.home.path().join("runtime")).unwrap().count(), 0);
}

#[test]
fn a_spin_in_poll_oneoff_is_seen_in_it_or_around_it() {
    let wat = r#"(module $poller
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        ;; A clock, the monotonic one, and no time at all.
        (data (i32.const 16) "\01\00\00\00")
        (func $poll (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))
        (func (export "_start") (loop (call $poll) (br 0))))"#;
    let guest = Running::start(wat, &[]);
    guest.until(&["ps"], "in host call wasi_snapshot_preview1::poll_oneoff for 0.0 s");
    let stack = guest.until(&["stack", &guest.pid()], "in host call wasi_snapshot_preview1::poll_oneoff");
    assert!(stack.contains("poller!poll\n"), "{stack}");
}

#[test]
fn a_guest_that_sleeps_and_is_looked_at_sleeps_to_the_end() {
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        ;; A clock, the monotonic one, and a second.
        (data (i32.const 16) "\01\00\00\00\00\00\00\00\00\ca\9a\3b")
        (func (export "_start")
            (if (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)) (then (call $exit (i32.const 1))))
            ;; One event, without an error.
            (if (i32.load16_u (i32.const 72)) (then (call $exit (i32.const 2))))
            (call $exit (i32.add (i32.load (i32.const 128)) (i32.const 9)))))"#;
    let start = Instant::now();
    let mut guest = Running::start(wat, &[]);
    let pid = guest.pid();
    guest.until(&["ps"], "in host call wasi_snapshot_preview1::poll_oneoff");
    let ended = loop {
        if let Some(ended) = guest.child.try_wait().unwrap() {
            break ended;
        }
        guest.belljar(&["stack", &pid]);
    };
    assert_eq!(ended.code(), Some(10));
    assert!(start.elapsed() >= Duration::from_secs(1));
}

/// Returns the exit code of a program, and its standard error.
fn end_of(mut guest: Running) -> (Option<i32>, String) {
    let mut text = String::new();
    guest.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (guest.child.wait().unwrap().code(), text)
}

/// A guest that executes one bulk operation after another: killing it must not depend on the moment.
const BULK: &str = r#"(module (memory (export "memory") 16) (table 400000 funcref)
    (func $fill (export "fill") (loop $l (memory.fill (i32.const 0) (i32.const 9) (i32.const 400000)) (br $l)))
    (func $copy (export "copy") (loop $l (memory.copy (i32.const 0) (i32.const 500000) (i32.const 400000)) (br $l)))
    (func $table_fill (export "table_fill") (loop $l (table.fill (i32.const 0) (ref.null func) (i32.const 400000)) (br $l))))"#;

#[test]
fn guests_in_bulk_operations_are_killed_and_timed_out() {
    for export in ["fill", "copy", "table_fill"] {
        let mut guest = Running::start(BULK, &["--invoke", export]);
        let pid = guest.pid();
        guest.until(&["ps"], &pid);
        guest.until(&["stack", &pid], &format!("!{export}\n"));
        let killed = guest.belljar(&["kill", &pid]);
        assert!(killed.status.success(), "{killed:?}");
        let status = guest.child.wait().unwrap();
        assert_eq!(status.code(), Some(137), "{export}");

        let mut guest = Running::start(BULK, &["--invoke", export, "--timeout", "100ms"]);
        let status = guest.child.wait().unwrap();
        assert_eq!(status.code(), Some(124), "{export}");
    }
}

#[test]
fn a_killed_program_tells_where_it_was() {
    let guest = Running::start(SPIN, &[]);
    guest.until(&["ps"], "running spin");
    let pid = guest.pid();
    let wrong = guest.belljar(&["kill", &pid, "--store", "77"]);
    assert_eq!(wrong.status.code(), Some(66), "{wrong:?}");
    let killed = guest.belljar(&["kill", &pid, "--reason", "nobody needs it"]);
    assert!(killed.status.success(), "{killed:?}");
    let (code, text) = end_of(guest);
    assert_eq!(code, Some(137), "{text}");
    assert!(
        text.starts_with("error: the guest was killed: nobody needs it\nwasm backtrace:\n    0: "),
        "{text}"
    );
    assert!(text.contains("spinner!spin\n                    at ./guest.wat:"), "{text}");
}

#[test]
fn time_limits_and_interrupts_end_guests_wherever_they_are() {
    let reader = r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\40\00\00\00\10\00\00\00")
        (func $main (export "_start") (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    let waiter = r#"(module (memory 1 1 shared)
        (func $main (export "_start") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#;
    for (wat, place) in [(SPIN, "spin"), (reader, "main"), (waiter, "main")] {
        let (code, text) = end_of(Running::start(wat, &["--timeout", "300ms"]));
        assert_eq!(code, Some(124), "{text}");
        let message = "error: the guest was stopped: --timeout 300ms has expired\n";
        assert!(text.starts_with(message) && text.contains(place), "{text}");
        assert!(!text.contains("does not return"), "{text}");
    }
    let (code, text) = end_of(Running::start(SPIN, &["--cpu-timeout", "100ms", "--timeout", "50s"]));
    assert_eq!(code, Some(124), "{text}");
    assert!(text.starts_with("error: the guest was stopped: --cpu-timeout 100ms is used up\n"), "{text}");

    let guest = Running::start(reader, &[]);
    guest.until(&["ps"], "fd_read");
    let interrupt = Command::new("kill").args(["-INT", &guest.pid()]).status().unwrap();
    assert!(interrupt.success());
    let (code, text) = end_of(guest);
    assert_eq!(code, Some(130), "{text}");
    assert!(text.starts_with("error: the guest was stopped by Ctrl-C\n") && text.contains("!main"), "{text}");
}

/// Stopping a program that fills a pipe does not wait for a reader of the pipe either.
#[test]
fn programs_end_though_nobody_reads_why() {
    // Writes to standard error forever, or as much as a pipe holds, and traps.
    let guest = |end: &str| {
        format!(
            r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (data (i32.const 0) "\10\00\00\00\00\00\01\00")
        (func (export "_start")
            (loop (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))) {end})))"#
        )
    };
    let (endless, once) = (guest("(br 0)"), guest("unreachable"));
    for wat in [&endless, &once] {
        let mut guest = Running::start(wat, &["--timeout", "1s"]);
        assert_eq!(guest.child.wait().unwrap().code(), Some(124));
    }
    for kill in [false, true] {
        let mut guest = Running::start(&endless, &[]);
        guest.until(&["ps"], "in host call wasi_snapshot_preview1::fd_write for ");
        let pid = guest.pid();
        let stopped = match kill {
            true => guest.belljar(&["kill", &pid]).status,
            false => Command::new("kill").args(["-INT", &pid]).status().unwrap(),
        };
        assert!(stopped.success());
        assert_eq!(guest.child.wait().unwrap().code(), Some(if kill { 137 } else { 130 }));
    }
}

#[test]
fn threads_of_a_program_have_a_line_each() {
    let wat = r#"(module
        (import "env" "memory" (memory 1 1 shared))
        (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
        (func $wait (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
        (func (export "wasi_thread_start") (param i32 i32) (call $wait))
        (func (export "_start") (drop (call $spawn (i32.const 0))) (loop (br 0))))"#;
    let guest = Running::start(wat, &["--threads"]);
    let table = guest.until(&["ps"], "in the runtime (memory.atomic.wait32)");
    assert_eq!(table.lines().filter(|line| line.starts_with(&guest.pid())).count(), 2, "{table}");
}

#[test]
fn profiles_of_runs_are_written_however_they_end() {
    let home = tempfile::tempdir().unwrap();
    let work = "(loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))";
    for (end, code) in [
        ("", 0),
        ("(i32.store (i32.const -1) (i32.const 0))", 134),
        ("(call $exit (i32.const 3))", 3),
        ("(loop (br 0))", 124),
    ] {
        let wat = format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
            (func $work (param i32) {work}) (func $main (export "_start") (call $work (i32.const 200000000)) {end}))"#
        );
        std::fs::write(home.path().join("guest.wat"), wat).unwrap();
        let output = command(&home)
            .args(["run", "--profile", "out.txt", "--timeout", "3s", "guest.wat"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let text = std::fs::read_to_string(home.path().join("out.txt")).unwrap();
        assert!(text.lines().any(|line| line.starts_with("belljar;main;work ")), "{text}");
        std::fs::remove_file(home.path().join("out.txt")).unwrap();
        assert_eq!(std::fs::read_dir(home.path().join("runtime")).unwrap().count(), 0, "{end}");
    }
    let often =
        ["run", "--profile", "out.txt", "--profile-frequency", "5000", "--timeout", "1s", "guest.wat"];
    assert_eq!(command(&home).args(often).output().unwrap().status.code(), Some(124));
    assert!(std::fs::read_to_string(home.path().join("out.txt")).unwrap().starts_with("belljar;main"));
    let odd = command(&home).args(["run", "--profile", "out", "guest.wat"]).output().unwrap();
    assert_eq!(odd.status.code(), Some(2), "{odd:?}");
    let short = "(module (func (export \"_start\")))";
    std::fs::write(home.path().join("guest.wat"), short).unwrap();
    let output = command(&home).args(["run", "--profile", "out.txt", "guest.wat"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("is empty"), "{output:?}");
}
