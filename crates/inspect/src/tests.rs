//! Client and server in one process, each test in its own directory.

use crate::event_loop::{MAX_CONCURRENT_REQUESTS, MAX_CONNECTIONS};
use crate::line::{read_line, write_line};
use crate::message::MAX_LISTED_RESPONSE_BYTES;
use crate::*;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Weak};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

/// What a fake subject does on a request.
enum Behaviour {
    /// Reports one store.
    Tells,
    /// Waits for another thread first.
    Waits(Barrier),
    Panics,
}

struct Fake {
    id: u64,
    behaviour: Behaviour,
    profile: belljar_core::Result<Vec<u8>, &'static str>,
    is_recording: AtomicBool,
    stopped: AtomicBool,
}

impl Fake {
    fn new(id: u64) -> Self {
        let profile = Ok(format!("{{\"of\":\n\"{id}\\n\"}}").into_bytes());
        let no = || AtomicBool::new(false);
        Self { id, behaviour: Behaviour::Tells, profile, is_recording: no(), stopped: no() }
    }
}

impl Subject for Fake {
    fn stores(&self, detail: Detail) -> Vec<StoreReport> {
        match &self.behaviour {
            Behaviour::Tells => {}
            Behaviour::Waits(barrier) => drop(barrier.wait()),
            Behaviour::Panics => panic!("a test's panic, which is to be seen"),
        }
        let mut store = StoreReport::new(self.id, StoreState::Guest);
        store.label = Some(format!("{detail:?}"));
        vec![store]
    }

    fn kill(&self, store: Option<u64>, reason: &str) -> usize {
        usize::from(store.is_none_or(|id| id == self.id) && reason == "enough")
    }

    fn profile(&self, wanted: &ProfileRequest, go_on: &dyn Fn() -> bool) -> belljar_core::Result<Vec<u8>> {
        self.is_recording.store(true, Ordering::Relaxed);
        let until = Instant::now() + wanted.duration;
        while Instant::now() < until {
            if !go_on() {
                self.stopped.store(true, Ordering::Relaxed);
                break;
            }
            thread::sleep(wanted.interval);
        }
        self.profile.clone().map_err(belljar_core::Error::msg)
    }
}

/// A served subject in its own directory.
struct Scene {
    home: TempDir,
    fake: Arc<Fake>,
    served: Served,
}

fn weak(fake: &Arc<Fake>) -> Weak<dyn Subject> {
    let fake: Weak<Fake> = Arc::downgrade(fake);
    fake
}

fn wait_until(what: impl Fn() -> bool) {
    let until = Instant::now() + LONG;
    while !what() {
        assert!(Instant::now() < until, "it never happened");
        thread::sleep(Duration::from_millis(1));
    }
}

impl Scene {
    fn new(fake: Fake) -> Self {
        let home = tempfile::tempdir().unwrap();
        let fake = Arc::new(fake);
        let directory = RuntimeDirectory::at(home.path().join("belljar"));
        let served = serve_in(directory, weak(&fake), Delay::NONE).unwrap();
        wait_until(|| served.socket().is_some() || served.problem().is_some());
        Self { home, fake, served }
    }

    fn directory(&self) -> RuntimeDirectory {
        RuntimeDirectory::at(self.home.path().join("belljar"))
    }

    fn socket(&self) -> PathBuf {
        self.served.socket().unwrap()
    }

    fn process(&self) -> Process {
        Process::find_in(&[self.directory()], std::process::id()).unwrap()
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).unwrap()
    }

    /// Sends a line. Returns the response as JSON.
    fn request(&self, line: &[u8]) -> Value {
        let stream = self.connect();
        let _ = write_line(&stream, line, Instant::now() + LONG);
        answer(&stream)
    }
}

fn answer(stream: &UnixStream) -> Value {
    let line = read_line(stream, 1 << 20, Instant::now() + LONG).unwrap().unwrap();
    serde_json::from_slice(&line).unwrap()
}

fn error(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or_else(|| panic!("no error: {answer}"))
}

#[test]
fn a_process_tells_of_itself_and_its_stores() {
    let scene = Scene::new(Fake::new(7));
    let processes = processes_in(&scene.directory()).unwrap();
    assert_eq!(processes.iter().map(Process::pid).collect::<Vec<_>>(), [std::process::id()]);
    let report = processes[0].ask_stores(Detail::Stacks { all_frames: true }).unwrap();
    assert_eq!((report.pid, &*report.version), (std::process::id(), env!("CARGO_PKG_VERSION")));
    let mut expected = StoreReport::new(7, StoreState::Guest);
    expected.label = Some("Stacks { all_frames: true }".into());
    assert_eq!(report.stores, [expected]);
    assert!(report.cpu > Duration::ZERO && !report.command.is_empty());
}

#[test]
fn nobody_else_can_reach_the_socket() {
    let scene = Scene::new(Fake::new(1));
    let mode = |path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(scene.directory().path().to_path_buf()), 0o700);
    assert_eq!(mode(scene.socket()), 0o600);
    assert!(scene.socket().ends_with(format!("{}.sock", std::process::id())));
}

#[test]
fn a_directory_that_cannot_be_trusted_is_a_problem_that_is_told() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("real")).unwrap();
    fs::set_permissions(home.path().join("real"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("real", home.path().join("link")).unwrap();
    let fake = Arc::new(Fake::new(1));
    let directory = RuntimeDirectory::at(home.path().join("link"));
    let served = serve_in(directory.clone(), weak(&fake), Delay::NONE).unwrap();
    wait_until(|| served.problem().is_some());
    let printed = served.problem().unwrap();
    assert!(printed.contains("symbolic link") && served.socket().is_none(), "{printed}");
    assert!(matches!(Process::find_in(&[directory], std::process::id()), Err(AskError::Directory(_))));
    assert_eq!(fs::read_dir(home.path().join("real")).unwrap().count(), 0);
}

#[test]
fn the_last_one_to_leave_removes_the_socket() {
    let scene = Scene::new(Fake::new(2));
    let second = Arc::new(Fake::new(1));
    let second_served = scene.served.add(&weak(&second)).unwrap();
    let ids = |scene: &Scene| {
        let report = scene.process().ask_stores(Detail::Innermost).unwrap();
        report.stores.iter().map(|store| store.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&scene), [1, 2]);
    drop(second);
    assert_eq!(ids(&scene), [2], "a subject that is gone has no stores");
    drop(second_served);
    assert_eq!(ids(&scene), [2]);
    let (socket, directory) = (scene.socket(), scene.directory());
    let Scene { home, fake, served } = scene;
    drop(served);
    assert!(!socket.exists(), "dropping it removes the socket at once");
    assert!(processes_in(&directory).unwrap().is_empty());
    wait_until(|| Arc::weak_count(&fake) == 0);
    drop(home);
}

#[test]
fn a_short_program_never_makes_a_socket() {
    let home = tempfile::tempdir().unwrap();
    let directory = RuntimeDirectory::at(home.path().join("belljar"));
    let fake = Arc::new(Fake::new(1));
    let served = serve_in(directory.clone(), weak(&fake), Delay(LONG)).unwrap();
    assert!(served.socket().is_none() && served.problem().is_none());
    drop(served);
    // The thread has ended early: it holds the endpoint, which holds the subject.
    wait_until(|| Arc::weak_count(&fake) == 0);
    assert!(!directory.path().exists());
}

#[test]
fn a_process_has_one_endpoint() {
    let fakes = [Arc::new(Fake::new(1)), Arc::new(Fake::new(2))];
    // Within the delay nothing is created, in whatever directory.
    let [one, two] = fakes.each_ref().map(|fake| serve(weak(fake), Delay(LONG)).unwrap());
    let threads = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.trim_end() == "belljar-inspect").count()
    };
    // The thread sets its own name.
    let end = Instant::now() + LONG;
    while threads() == 0 {
        assert!(Instant::now() < end, "no thread of the endpoint's");
        thread::yield_now();
    }
    drop(one);
    assert_eq!(Arc::weak_count(&fakes[0]), 0);
    assert_eq!(Arc::weak_count(&fakes[1]), 1);
    drop(two);
    // After the end, a new endpoint is started.
    let again = serve(weak(&fakes[0]), Delay(LONG)).unwrap();
    assert_eq!(Arc::weak_count(&fakes[0]), 1);
    drop(again);
}

#[test]
fn sockets_of_dead_processes_are_removed() {
    let scene = Scene::new(Fake::new(1));
    let dead = |pid: u32| {
        let path = scene.directory().path().join(format!("{pid}.sock"));
        drop(UnixListener::bind(&path).unwrap());
        path
    };
    // The kernel never assigns the first two ids; process 1 is alive, though it does not listen here.
    let (gone, living) = ([dead(2_000_000_000), dead(u32::MAX)], dead(1));
    let other = scene.directory().path().join("notes");
    fs::write(&other, "").unwrap();
    let file = scene.directory().path().join("1999999999.sock");
    fs::write(&file, "no socket").unwrap();
    assert_eq!(processes_in(&scene.directory()).unwrap().len(), 1);
    assert!(gone.iter().all(|path| !path.exists()));
    assert!(living.exists() && other.exists() && file.exists() && scene.socket().exists());
    assert!(matches!(
        Process::find_in(&[scene.directory()], 2_000_000_000),
        Err(AskError::NoProcess { pid: 2_000_000_000 })
    ));
    let printed = Process::find_in(&[scene.directory()], 1).unwrap_err();
    assert!(
        matches!(printed, AskError::NoResponse { pid: 1, .. } | AskError::OtherUser { pid: 1, .. }),
        "{printed}"
    );
}

#[test]
fn a_server_tidies_a_crowded_directory() {
    let home = tempfile::tempdir().unwrap();
    let directory = RuntimeDirectory::at(home.path().join("belljar"));
    directory.make().unwrap();
    for pid in 0..101 {
        let path = directory.path().join(format!("{}.sock", 2_000_000_000 + pid));
        drop(UnixListener::bind(path).unwrap());
    }
    let fake = Arc::new(Fake::new(1));
    let served = serve_in(directory.clone(), weak(&fake), Delay::NONE).unwrap();
    wait_until(|| directory.pids().unwrap() == [std::process::id()]);
    drop(served);
}

#[test]
fn a_socket_left_by_a_dead_namesake_is_replaced_and_a_living_ones_is_not() {
    let home = tempfile::tempdir().unwrap();
    let directory = RuntimeDirectory::at(home.path().join("belljar"));
    directory.make().unwrap();
    drop(UnixListener::bind(directory.socket(std::process::id()).unwrap()).unwrap());
    let fake = Arc::new(Fake::new(1));
    let first = serve_in(directory.clone(), weak(&fake), Delay::NONE).unwrap();
    wait_until(|| first.socket().is_some());
    let second = serve_in(directory.clone(), weak(&fake), Delay::NONE).unwrap();
    wait_until(|| second.problem().is_some());
    assert!(second.problem().unwrap().contains("the socket of another process"));
    drop(second);
    assert!(first.socket().unwrap().exists(), "it removes only its own socket");
}

#[test]
fn garbage_is_answered_with_an_error() {
    let scene = Scene::new(Fake::new(1));
    for garbage in [&b"GET / HTTP/1.1\r"[..], b"", b"{}", &[0xff; 100], &[b'['; 60_000], b"{\"version\":1}"] {
        assert!(error(&scene.request(garbage)).contains("cannot be read"));
    }
    let newer = scene.request(br#"{"version":2,"ask":"anything"}"#);
    assert!(error(&newer).contains("version 1 ") && error(&newer).contains("version 2"), "{newer}");
    assert!(error(&scene.request(&[b' '; 70_000])).contains("at most 65536 bytes"));
    // It still works.
    assert_eq!(scene.process().ask_stores(Detail::Innermost).unwrap().stores.len(), 1);
}

/// Sends a request while other clients occupy the socket. Waiting for one of them would take at least five seconds; on
/// a busy machine, several tries are needed to tell.
fn is_answered_at_once(scene: &Scene) {
    let question = br#"{"version":1,"ask":"stores","detail":"innermost"}"#;
    let asks_quickly = |_: i32| {
        let begin = Instant::now();
        assert_eq!(scene.request(question)["ok"]["stores"][0]["id"], 1);
        begin.elapsed() < Duration::from_secs(4)
    };
    assert!((0..5).any(asks_quickly));
}

/// Waits until there is something to read.
fn wait_for_data(stream: &UnixStream) {
    let time = rustix::event::Timespec::try_from(LONG).unwrap();
    let mut look = [rustix::event::PollFd::new(stream, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut look, Some(&time)).unwrap(), 1);
}

#[test]
fn half_sent_questions_hold_nobody() {
    for count in [1, MAX_CONCURRENT_REQUESTS, MAX_CONNECTIONS, 100, 300] {
        let scene = Scene::new(Fake::new(1));
        let halves: Vec<_> = (0..count)
            .map(|i| {
                let stream = scene.connect();
                // Some have sent nothing.
                (&stream).write_all(&b"{\"version\""[..i % 11]).unwrap();
                stream
            })
            .collect();
        for _ in 0..3 {
            is_answered_at_once(&scene);
        }
        // The oldest were closed to make room, with that reason.
        let closed = count.saturating_sub(MAX_CONNECTIONS);
        for stream in &halves[..closed] {
            assert!(error(&answer(stream)).contains("others were waiting"));
        }
        if count == MAX_CONCURRENT_REQUESTS {
            for stream in &halves {
                assert!(error(&answer(stream)).contains("takes too long"));
            }
        }
    }
}

#[test]
fn who_sends_a_question_byte_by_byte_holds_nobody() {
    let scene = Scene::new(Fake::new(1));
    let slow: Vec<_> = (0..2 * MAX_CONCURRENT_REQUESTS).map(|_| scene.connect()).collect();
    for byte in b"{\"version\":1,\"ask\":\"stores\",\"detail\":\"innermost\"}" {
        slow.iter().for_each(|mut stream| stream.write_all(&[*byte]).unwrap());
        is_answered_at_once(&scene);
    }
    for mut stream in &slow {
        stream.write_all(b"\n").unwrap();
        assert_eq!(answer(stream)["ok"]["stores"][0]["id"], 1);
    }
}

#[test]
fn who_does_not_read_the_answer_holds_nobody() {
    let mut fake = Fake::new(1);
    // Larger than a socket buffer.
    fake.profile = Ok(format!("\"{}\"", "x".repeat(1 << 20)).into_bytes());
    let scene = Scene::new(fake);
    let question = br#"{"version":1,"ask":"profile","duration_ns":0,"interval_ns":1}"#;
    for count in [MAX_CONCURRENT_REQUESTS, MAX_CONNECTIONS + 10] {
        let slow: Vec<_> = (0..count)
            .map(|_| {
                let stream = scene.connect();
                write_line(&stream, question, Instant::now() + LONG).unwrap();
                stream
            })
            .collect();
        slow.iter().for_each(wait_for_data);
        for _ in 0..3 {
            is_answered_at_once(&scene);
        }
        // A client that reads late still gets the whole response.
        let last = read_line(slow.last().unwrap(), 8 << 20, Instant::now() + LONG).unwrap().unwrap();
        assert!(last.len() > 1 << 20 && last.starts_with(b"{\"ok\""));
    }
}

#[test]
fn only_so_many_are_answered_at_once_and_the_others_wait_in_line() {
    let mut fake = Fake::new(1);
    fake.behaviour = Behaviour::Waits(Barrier::new(MAX_CONCURRENT_REQUESTS + 1));
    let scene = Scene::new(fake);
    let question = br#"{"version":1,"ask":"stores","detail":"innermost"}"#;
    let ask = || {
        let stream = scene.connect();
        write_line(&stream, question, Instant::now() + LONG).unwrap();
        stream
    };
    let asked: Vec<_> = (0..2 * MAX_CONCURRENT_REQUESTS).map(|_| ask()).collect();
    let Behaviour::Waits(barrier) = &scene.fake.behaviour else { unreachable!() };
    for half in asked.chunks(MAX_CONCURRENT_REQUESTS) {
        barrier.wait();
        for stream in half {
            assert_eq!(answer(stream)["ok"]["stores"][0]["id"], 1);
        }
    }
    // Requests that get no thread in time are refused.
    let asked: Vec<_> = (0..=MAX_CONCURRENT_REQUESTS).map(|_| ask()).collect();
    assert!(error(&answer(&asked[MAX_CONCURRENT_REQUESTS])).contains("too many requests"));
    barrier.wait();
}

#[test]
fn who_has_asked_is_not_given_up_for_others() {
    let mut fake = Fake::new(1);
    fake.behaviour = Behaviour::Waits(Barrier::new(2));
    let scene = Scene::new(fake);
    let asks = scene.connect();
    write_line(&asks, br#"{"version":1,"ask":"stores","detail":"innermost"}"#, Instant::now() + LONG)
        .unwrap();
    let halves: Vec<_> = (0..2 * MAX_CONNECTIONS).map(|_| scene.connect()).collect();
    assert!(error(&answer(&halves[0])).contains("others were waiting"));
    let Behaviour::Waits(barrier) = &scene.fake.behaviour else { unreachable!() };
    barrier.wait();
    assert_eq!(answer(&asks)["ok"]["stores"][0]["id"], 1);
}

#[test]
fn a_process_that_exits_can_wait_for_answers_under_way() {
    let mut fake = Fake::new(1);
    fake.behaviour = Behaviour::Waits(Barrier::new(2));
    let scene = Scene::new(fake);
    let stream = scene.connect();
    let question = br#"{"version":1,"ask":"stores","detail":"innermost"}"#;
    write_line(&stream, question, Instant::now() + LONG).unwrap();
    let Scene { served, fake, home: _home } = scene;
    let Behaviour::Waits(barrier) = &fake.behaviour else { unreachable!() };
    barrier.wait();
    served.end(LONG);
    // The response has been sent, so there is no waiting.
    stream.set_nonblocking(true).unwrap();
    assert_eq!(answer(&stream)["ok"]["stores"][0]["id"], 1);
}

#[test]
fn many_clients_in_turn_all_get_answers() {
    let scene = Scene::new(Fake::new(1));
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let report = scene.process().ask_stores(Detail::Innermost).unwrap();
                    assert_eq!(report.stores.len(), 1);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(answered.into_inner(), 200);
}

#[test]
fn a_panic_is_an_error_for_whoever_asked() {
    let mut fake = Fake::new(1);
    fake.behaviour = Behaviour::Panics;
    let scene = Scene::new(fake);
    for _ in 0..2 * MAX_CONCURRENT_REQUESTS {
        let printed = scene.process().ask_stores(Detail::Innermost).unwrap_err();
        assert!(printed.to_string().contains("panicked"), "{printed}");
    }
}

fn short() -> ProfileRequest {
    ProfileRequest::new(Duration::from_millis(5), Duration::from_millis(1))
}

#[test]
fn guests_are_killed_by_number_or_all() {
    let scene = Scene::new(Fake::new(7));
    let other = Arc::new(Fake::new(8));
    let _second = scene.served.add(&weak(&other)).unwrap();
    let killed = |store, reason| scene.process().kill(store, reason).unwrap();
    assert_eq!(killed(None, "enough"), 2);
    assert_eq!([killed(Some(8), "enough"), killed(Some(9), "enough"), killed(None, "other")], [1, 0, 0]);
}

#[test]
fn profiles_are_carried_as_they_are() {
    let scene = Scene::new(Fake::new(1));
    let profiles = scene.process().profiles(&short()).unwrap();
    assert_eq!(profiles, [br#"{"of": "1\n"}"#]);
    let second = Arc::new(Fake::new(2));
    let mut failing = Fake::new(3);
    failing.profile = Err("no clock");
    let failing = Arc::new(failing);
    let _served = [&second, &failing].map(|fake| scene.served.add(&weak(fake)).unwrap());
    let profiles = scene.process().profiles(&short()).unwrap();
    assert_eq!(profiles, [br#"{"of": "1\n"}"#, br#"{"of": "2\n"}"#]);
}

#[test]
fn a_profile_that_fails_or_is_no_json_is_an_error() {
    let printed = |profile: belljar_core::Result<Vec<u8>, &'static str>| {
        let mut fake = Fake::new(1);
        fake.profile = profile;
        Scene::new(fake).process().profiles(&short()).unwrap_err().to_string()
    };
    assert!(printed(Err("nothing runs")).ends_with("refused: nothing runs"));
    assert!(printed(Ok(b"{\"half\":".to_vec())).contains("not JSON"));
    assert!(printed(Ok(vec![0xff])).contains("not JSON"));
}

#[test]
fn a_profile_ends_when_nobody_waits_for_it() {
    let scene = Scene::new(Fake::new(1));
    let stream = scene.connect();
    let question = br#"{"version":1,"ask":"profile","duration_ns":60000000000,"interval_ns":1000000}"#;
    write_line(&stream, question, Instant::now() + LONG).unwrap();
    wait_until(|| scene.fake.is_recording.load(Ordering::Relaxed));
    assert!(!scene.fake.stopped.load(Ordering::Relaxed));
    drop(stream);
    wait_until(|| scene.fake.stopped.load(Ordering::Relaxed));
}

#[test]
fn a_profile_ends_when_the_subject_leaves() {
    let scene = Scene::new(Fake::new(1));
    let process = scene.process();
    let asking = thread::spawn(move || {
        process.profiles(&ProfileRequest::new(LONG, Duration::from_millis(1))).unwrap()
    });
    wait_until(|| scene.fake.is_recording.load(Ordering::Relaxed));
    drop(scene.served);
    assert_eq!(asking.join().unwrap().len(), 1, "the recorded part is sent");
}

/// Runs a server that responds with these bytes to any request. Returns the client's error.
fn client_error(answer: &'static [u8]) -> AskError {
    let home = tempfile::tempdir().unwrap();
    let directory = RuntimeDirectory::at(home.path().join("belljar"));
    directory.make().unwrap();
    let pid = std::process::id();
    let listener = UnixListener::bind(directory.socket(pid).unwrap()).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(answer);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = read_line(&stream, 1 << 20, Instant::now() + LONG);
        }
    });
    Process::find_in(&[directory], pid).unwrap().ask_stores(Detail::Innermost).unwrap_err()
}

#[test]
fn hostile_answers_are_errors() {
    assert!(matches!(client_error(b""), AskError::NoResponse { .. }));
    assert!(matches!(client_error(b"{\"ok\":"), AskError::NoResponse { .. }));
    let garbage: [&[u8]; 6] = [
        b"\n",
        b"{\"ok\":{}}\n",
        b"{\"ok\":[1,2]}\n",
        b"\xff\xfe\n",
        b"{\"ok\":{\"pid\":-1,\"version\":\"\",\"uptime_ns\":0,\"cpu_ns\":0,\"command\":[],\"stores\":[]}}\n",
        b"{\"neither\":1}\n",
    ];
    for answer in garbage {
        assert!(matches!(client_error(answer), AskError::InvalidResponse { .. }));
    }
    let deep: Vec<u8> = [b"{\"ok\":".to_vec(), vec![b'['; 100_000], b"\n".to_vec()].concat();
    assert!(matches!(client_error(deep.leak()), AskError::InvalidResponse { .. }));
    // Endless responses, which each listed process could send.
    let printed = client_error(vec![b' '; MAX_LISTED_RESPONSE_BYTES + 1].leak()).to_string();
    assert!(printed.contains("expected a line of at most 16777216 bytes"), "{printed}");
    let printed = client_error(b"{\"error\":\"not today\"}\n").to_string();
    assert!(printed.ends_with("refused: not today"), "{printed}");
}

#[test]
fn a_process_that_is_not_the_names_is_asked_nothing() {
    let scene = Scene::new(Fake::new(1));
    // A live process that does not listen: this process listens under its name.
    let socket = scene.directory().socket(1).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let process = Process::find_in(&[scene.directory()], 1).unwrap();
    assert!(matches!(process.ask_stores(Detail::Innermost), Err(AskError::WrongPeer { pid: 1 })));
    for _ in 0..2 {
        let (stream, _) = listener.accept().unwrap();
        assert_eq!(read_line(&stream, 100, Instant::now() + LONG).unwrap(), None);
    }
}
