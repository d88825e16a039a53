//! Processes that report hostile texts: this one, both within and outside the protocol, and guests of `belljar run`.

use crate::scene::{EVIL, Scene, assert_harmless, assert_output, export, file, text_file, words};
use belljar_inspect::{
    Delay, Detail, FrameReport, ProfileRequest, RuntimeDirectory, StoreReport, StoreState, Subject,
    SymbolReport, ThreadReport, serve_in,
};
use std::ffi::OsString;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Liar;

impl Subject for Liar {
    fn stores(&self, _: Detail) -> Vec<StoreReport> {
        let evil = || Some(EVIL.to_string());
        let states = [
            StoreState::Guest,
            StoreState::Host { function: evil(), runtime: None, since: Some(Duration::MAX) },
            StoreState::Host { function: None, runtime: evil(), since: None },
            StoreState::Unknown { reason: EVIL.into() },
        ];
        let report = |(id, state): (u64, StoreState)| {
            let mut store = StoreReport::new(id, state);
            store.label = evil().filter(|_| id % 2 == 0);
            store.thread = Some(ThreadReport::new(1, EVIL, Duration::ZERO));
            let mut frame = FrameReport::new(3, format!("{EVIL}\n                    at {EVIL}"));
            (frame.module, frame.func_name) = (evil(), evil().filter(|_| id % 2 == 0));
            frame.host_calls = vec![EVIL.into(); 2];
            let mut symbol = SymbolReport::default();
            (symbol.name, symbol.file) = (evil(), evil());
            frame.symbols = vec![symbol; 2];
            store.frames = vec![frame; 4];
            store
        };
        (0..).zip(states).map(report).collect()
    }

    fn profile(&self, _: &ProfileRequest, _: &dyn Fn() -> bool) -> belljar::Result<Vec<u8>> {
        belljar::bail!(EVIL)
    }

    fn kill(&self, _: Option<u64>, _: &str) -> usize {
        2
    }
}

/// Makes this process inspectable in a scene. Returns its id.
fn serve(scene: &Scene) -> String {
    let subject: Arc<dyn Subject> = Arc::new(Liar);
    let directory = RuntimeDirectory::at(scene.path("runtime"));
    let served = serve_in(directory, Arc::downgrade(&subject), Delay::NONE).unwrap();
    while served.socket().is_none() {
        assert_eq!(served.problem(), None);
        std::thread::sleep(Duration::from_millis(1));
    }
    // Kept until the test process ends.
    std::mem::forget((subject, served));
    std::process::id().to_string()
}

pub(crate) fn ps(scene: &Scene) -> Vec<Vec<OsString>> {
    serve(scene);
    vec![words([&"ps"]), words([&"ps", &"--json"]), words([&"ps", &EVIL])]
}

pub(crate) fn stack(scene: &Scene) -> Vec<Vec<OsString>> {
    let pid = serve(scene);
    vec![
        words([&"stack", &pid]),
        words([&"stack", &"--all", &pid]),
        words([&"stack", &"--json", &pid]),
        words([&"stack", &EVIL]),
    ]
}

pub(crate) fn top(scene: &Scene) -> Vec<Vec<OsString>> {
    serve(scene);
    vec![words([&"top", &"-n", &"2", &"-d", &"10ms"]), words([&"top", &"-d", &EVIL])]
}

pub(crate) fn kill(scene: &Scene) -> Vec<Vec<OsString>> {
    let pid = serve(scene);
    vec![
        words([&"kill", &pid, &"--reason", &EVIL]),
        words([&"kill", &pid, &"--store", &EVIL]),
        words([&"kill", &EVIL]),
    ]
}

pub(crate) fn profile(scene: &Scene) -> Vec<Vec<OsString>> {
    let pid = serve(scene);
    vec![
        words([&"profile", &pid, &"-d", &"1ms", &"-o", &file(".txt")]),
        words([&"profile", &pid, &"-o", &EVIL]),
        words([&"profile", &pid, &"-o", &format!("{EVIL}/{EVIL}.txt")]),
        words([&"profile", &pid, &"-d", &EVIL, &"-o", &file(".txt")]),
        words([&"profile", &pid, &"--frequency", &EVIL, &"-o", &file(".txt")]),
        words([&"profile", &EVIL, &"-o", &file(".txt")]),
    ]
}

/// A program with hostile names is inspected, profiled, and killed for a hostile reason.
#[test]
fn a_running_guest_is_told_harmlessly() {
    let scene = Scene::new();
    let line = words([&"run", &"--argv0", &EVIL, &"--invoke", &export("spin"), &text_file()]);
    let mut guest = scene.command(&line);
    let guest = guest.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = guest.id().to_string();
    let end = Instant::now() + Duration::from_secs(60);
    let message = |line: &[OsString]| {
        let output = scene.command(line).output().unwrap();
        assert_output(&format!("{line:?}"), &output);
        String::from_utf8(output.stdout).unwrap()
    };
    while !message(&words([&"stack", &pid])).contains(r"spin") {
        assert!(Instant::now() < end, "the guest does not run");
    }
    for line in [
        &["ps"][..],
        &["ps", "--json"],
        &["top", "-d", "10ms"],
        &["stack", "--json", &pid],
        &["stack", "--all", &pid],
    ] {
        let printed = message(&line.iter().map(OsString::from).collect::<Vec<_>>());
        let is_escaped = printed.contains(r"\u{1b}[2J\u{7f}") || printed.contains(r"\u001b[2J\u007f");
        assert!(is_escaped, "{line:?}: {printed}");
    }
    for ending in [".svg", ".json", ".txt"] {
        message(&words([&"profile", &pid, &"-d", &"50ms", &"-o", &file(ending)]));
        let written = std::fs::read(scene.path(file(ending))).unwrap();
        let no_tabs: Vec<u8> = written.iter().map(|byte| if *byte == b'\t' { b' ' } else { *byte }).collect();
        assert_harmless(ending, &no_tabs);
    }
    message(&words([&"kill", &pid, &"--reason", &EVIL]));
    let output = guest.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(137));
    assert_output("the guest that was killed", &output);
    assert!(
        output.stderr.starts_with(br"error: the guest was killed: \u{1b}[2J"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
