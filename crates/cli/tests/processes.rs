//! The subcommands that inspect running programs. The program is this test, which reports made-up data.

use belljar_inspect::{
    Delay, Detail, FrameReport, ProfileRequest, RuntimeDirectory, Served, StoreReport, StoreState, Subject,
    ThreadReport, serve_in,
};
use serde_json::Value;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// Made-up stores; records the details requested.
struct Guests {
    stores: Vec<StoreReport>,
    asked: Mutex<Vec<Detail>>,
}

impl Subject for Guests {
    fn stores(&self, detail: Detail) -> Vec<StoreReport> {
        self.asked.lock().unwrap().push(detail);
        self.stores.clone()
    }

    fn kill(&self, store: Option<u64>, reason: &str) -> usize {
        assert_eq!(reason, "by `belljar kill`");
        self.stores
            .iter()
            .filter(|s| s.state != StoreState::Idle && store.is_none_or(|id| s.id == id))
            .count()
    }

    fn profile(&self, wanted: &ProfileRequest, _: &dyn Fn() -> bool) -> belljar::Result<Vec<u8>> {
        belljar::bail!("\u{1b}[2Jno samples in {:?} at {:?}", wanted.duration, wanted.interval)
    }
}

struct Scene {
    home: TempDir,
    guests: Arc<Guests>,
    _served: Served,
}

impl Scene {
    fn new(stores: Vec<StoreReport>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let guests = Arc::new(Guests { stores, asked: Mutex::default() });
        let subject: Arc<dyn Subject> = guests.clone();
        let directory = RuntimeDirectory::at(home.path().join("belljar"));
        let served = serve_in(directory, Arc::downgrade(&subject), Delay::NONE).unwrap();
        while served.socket().is_none() {
            assert_eq!(served.problem(), None);
            thread::sleep(Duration::from_millis(1));
        }
        Self { home, guests, _served: served }
    }

    fn belljar(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_belljar"));
        command.stdin(Stdio::null()).env("BELLJAR_RUNTIME_DIR", self.home.path().join("belljar"));
        command.current_dir(self.home.path()).args(args).output().unwrap()
    }

    /// Runs a command. Returns its output, with this process's id replaced by PID.
    fn message(&self, args: &[&str]) -> String {
        let output = self.belljar(args);
        let text = |bytes| String::from_utf8_lossy(bytes).replace(&std::process::id().to_string(), "PID");
        assert_eq!((output.status.code(), &*text(&output.stderr)), (Some(0), ""), "{args:?}");
        text(&output.stdout)
    }
}

fn pid() -> String {
    std::process::id().to_string()
}

fn busy() -> StoreReport {
    let mut store = StoreReport::new(1, StoreState::Guest);
    store.label = Some("sort.wasm".into());
    store.age = Duration::from_millis(1500);
    store.memory_bytes = 1 << 20;
    store.thread = Some(ThreadReport::new(99, "main", Duration::ZERO));
    let inner = FrameReport::new(3, "0x00a3 - sort.wasm!sort_array\n                    at ./sort.c:19:6");
    let outer = FrameReport::new(4, "0x00ad - sort.wasm!\u{1b}[31mmain");
    store.frames = vec![inner, outer];
    store.frames[0].func_name = Some("sort_array".into());
    store
}

fn waiting() -> StoreReport {
    let function = Some("wasi_snapshot_preview1::fd_read".into());
    let since = Some(Duration::from_millis(12_345));
    let mut store = StoreReport::new(2, StoreState::Host { function, runtime: None, since });
    store.memory_bytes = 64 << 10;
    store.frames = vec![FrameReport::new(0, "0x0010 - m!down"); 100];
    store.omitted = 7;
    store
}

fn all() -> Vec<StoreReport> {
    vec![busy(), waiting(), StoreReport::new(3, StoreState::Idle)]
}

#[test]
fn ps_has_a_line_for_each_store() {
    let message = Scene::new(all()).message(&["ps"]);
    let cells = |line: &str| line.split("  ").map(|cell| cell.trim().to_string()).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = message
        .lines()
        .map(|line| cells(line).into_iter().filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(lines[0], ["PID", "TIME", "CPU", "MEMORY", "STATE", "MODULE"]);
    let ends: Vec<&[String]> = lines[1..].iter().map(|line| &line[3..]).collect();
    assert_eq!(ends[0], ["1 MiB", "running sort_array", "sort.wasm"]);
    assert_eq!(ends[1], ["64 KiB", "in host call wasi_snapshot_preview1::fd_read for 12.3 s", "-"]);
    assert_eq!(ends[2], ["0 bytes", "idle", "-"]);
    assert!(lines[1..].iter().all(|line| line[0] == "PID" && line[1].starts_with("0:")), "{message}");
}

#[test]
fn a_process_without_stores_is_listed() {
    let scene = Scene::new(Vec::new());
    assert!(scene.message(&["ps"]).ends_with("  -  -      -\n"));
    let output = scene.belljar(&["stack", &pid()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).ends_with("has no stores\n"));
}

#[test]
fn json_is_what_the_process_said() {
    let scene = Scene::new(all());
    let ps: Value = serde_json::from_str(&scene.message(&["ps", "--json"]).replace("PID", "7")).unwrap();
    assert_eq!(ps[0]["pid"], 7);
    assert_eq!(ps[0]["stores"][1]["for_ns"], 12_345_000_000_u64);
    let text = scene.belljar(&["stack", &pid(), "--json"]).stdout;
    let stack: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(stack["stores"], serde_json::to_value(all()).unwrap());
}

#[test]
fn stacks_of_running_stores_are_cut_and_cannot_harm_the_terminal() {
    let scene = Scene::new(all());
    let expected = "\
store 1 (sort.wasm, 1.5 s old), thread main (99): running sort_array
    0: 0x00a3 - sort.wasm!sort_array
                    at ./sort.c:19:6
    1: 0x00ad - sort.wasm!\\u{1b}[31mmain

store 2 (0.0 s old): in host call wasi_snapshot_preview1::fd_read for 12.3 s
    0: 0x0010 - m!down
       … and 99 times the same
  … 7 more frames
";
    assert_eq!(scene.message(&["stack", &pid()]), expected);
    let all = format!("{expected}\nstore 3 (0.0 s old): idle\n");
    assert_eq!(scene.message(&["stack", &pid(), "--all"]), all);
    let asked = [false, true].map(|all_frames| Detail::Stacks { all_frames });
    assert_eq!(*scene.guests.asked.lock().unwrap(), asked);
}

#[test]
fn deep_stacks_are_whole_with_all() {
    let mut store = busy();
    store.frames = (0..60).map(|i| FrameReport::new(i, format!("frame {i}"))).collect();
    let scene = Scene::new(vec![store]);
    let message = scene.message(&["stack", &pid()]);
    assert!(
        message.contains("   39: frame 39\n  … 20 more frames\n") && !message.contains("frame 40"),
        "{message}"
    );
    assert!(scene.message(&["stack", &pid(), "--all"]).ends_with("   59: frame 59\n"));
}

#[test]
fn kill_says_what_it_killed() {
    let scene = Scene::new(all());
    let message = |args: &[&str]| {
        let output = scene.belljar(&[&["kill", &pid()], args].concat());
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
        String::from_utf8(output.stderr).unwrap().replace(&pid(), "PID")
    };
    let one = "note: killed store 1 (sort.wasm, 1.5 s old) of process PID: it was running sort_array\n";
    let other = "note: killed store 2 (0.0 s old) of process PID: it was in host call \
                 wasi_snapshot_preview1::fd_read for 12.3 s\n";
    assert_eq!(message(&[]), [one, other].concat());
    assert_eq!(message(&["--store", "1"]), one);
    let idle = scene.belljar(&["kill", &pid(), "--store", "3"]);
    assert_eq!(idle.status.code(), Some(66));
    let many = (0..30).map(|id| StoreReport::new(id, StoreState::Guest)).collect();
    let output = Scene::new(many).belljar(&["kill", &pid()]);
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("note: killed 30 guests of process "));
}

#[test]
fn idle_stores_are_mentioned() {
    let scene =
        Scene::new(vec![StoreReport::new(1, StoreState::Idle), StoreReport::new(2, StoreState::Idle)]);
    let output = scene.belljar(&["stack", &pid()]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.ends_with("--all shows its 2 idle stores\n"), "{message}");
}

#[test]
fn top_prints_as_many_tables_as_are_wanted() {
    let scene = Scene::new(all());
    let one = scene.message(&["top"]);
    assert!(one.starts_with("1 process, 3 stores, 2 running; "), "{one}");
    assert_eq!(one.lines().count(), 6, "{one}");
    let three = scene.message(&["top", "-d", "20ms", "-n", "3"]);
    assert_eq!(three.matches("CPU%").count(), 3, "{three}");
    assert!(!three.contains('\u{1b}'), "{three}");
}

#[test]
fn why_there_is_no_profile_is_told() {
    let scene = Scene::new(all());
    let message = |args: &[&str]| {
        let output = scene.belljar(&[&["profile", &pid(), "-o", "out.json"], args].concat());
        assert_eq!(output.status.code(), Some(66));
        String::from_utf8(output.stderr).unwrap()
    };
    let refused = format!("error: process {} refused: \\u{{1b}}[2Jno samples in ", pid());
    assert_eq!(message(&[]), format!("{refused}10s at 1ms\n"));
    assert_eq!(message(&["-d", "1m", "--frequency", "100"]), format!("{refused}60s at 10ms\n"));
    assert_eq!(message(&["--interval", "5ms"]), format!("{refused}10s at 5ms\n"));
}

#[test]
fn a_process_that_lets_nobody_look_is_told_from_none() {
    let scene = Scene::new(Vec::new());
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    let output = scene.belljar(&["stack", &other.id().to_string()]);
    other.kill().unwrap();
    other.wait().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(66) && message.contains("offers no inspection of its guests"),
        "{message}"
    );
}

#[test]
fn a_stopped_process_holds_nobody_up_and_is_mentioned() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;
    // It has a socket, but does not respond.
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let _listener = UnixListener::bind(home.path().join(format!("{}.sock", pid()))).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_belljar"));
        let output = command.stdin(Stdio::null()).env("BELLJAR_RUNTIME_DIR", home.path()).args(args).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(0));
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let [out, notes] = run(&["ps"]);
    assert!(out.is_empty() && notes.contains(&format!("note: process {} does not answer", pid())), "{notes}");
    let [out, _] = run(&["top"]);
    assert!(out.contains("; 1 process without an answer; "), "{out}");
}
