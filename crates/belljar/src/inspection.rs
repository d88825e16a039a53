//! Reporting an engine's stores to other processes.

use crate::profiler::thread_name;
use crate::{Engine, EngineWeak, FrameInfo, GuestState, Inspector, Profiler, Result, Stack};
use belljar_core::{Context, OutsideText};
use belljar_inspect::{
    Delay, Detail, FrameReport, ProfileRequest, Served, StoreReport, StoreState, Subject, SymbolReport,
    ThreadReport, serve,
};
use belljar_vm::thread_cpu_time;
use belljar_watch::PrintedName;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Lets other processes inspect an engine's guests, until it is dropped: see [`Engine::serve_inspection`].
#[must_use = "dropping it ends inspection"]
pub struct Inspection {
    served: Served,
    /// The server holds a weak reference to it.
    _subject: Arc<dyn Subject>,
}

impl fmt::Debug for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspection").field("socket", &self.socket()).finish_non_exhaustive()
    }
}

impl Inspection {
    /// Returns the path of the socket that other processes connect to. It is created after 20 ms, so that programs that
    /// end before do not pay for it.
    pub fn socket(&self) -> Option<PathBuf> {
        self.served.socket()
    }

    /// Stops serving, and waits for at most `patience` until pending requests are answered: for a process that is about
    /// to exit, perhaps because a client killed its guests and expects an answer.
    pub fn end(self, patience: Duration) {
        self.served.end(patience);
    }

    /// Returns why there is no socket, if something went wrong with it.
    pub fn problem(&self) -> Option<String> {
        self.served.problem()
    }
}

impl Engine {
    /// Lets other processes of this user, and root, inspect this engine's guests: `belljar ps`, `belljar stack`,
    /// `belljar top` and `belljar profile` show them. They connect to a socket in the user's runtime directory;
    /// docs/watching.md describes who can reach it and what it reports.
    ///
    /// It takes a thread, which sleeps until a client sends a request. Calls of host functions take some nanoseconds
    /// longer, because their start times are recorded. It does not keep the engine alive.
    ///
    /// # Errors
    ///
    /// Returns an error if no thread can be started. Problems with the socket occur later: see [`Inspection::problem`].
    pub fn serve_inspection(&self) -> Result<Inspection> {
        self.runtime().note_host_calls();
        let subject: Arc<dyn Subject> = Arc::new(Guests { engine: self.weak() });
        let served = serve(Arc::downgrade(&subject), Delay::default());
        let served = served.context("could not start the thread that serves inspection")?;
        Ok(Inspection { served, _subject: subject })
    }
}

/// The guests of an engine.
struct Guests {
    engine: EngineWeak,
}

/// How long the thread of one guest, or those of all together, may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many frames are reported, unless the client asks for all.
const FRAMES: usize = 64;
/// The shortest interval between samples.
const SHORTEST_INTERVAL: Duration = Duration::from_micros(10);
/// How often the server checks whether a client still waits for a profile.
const STEP: Duration = Duration::from_millis(20);

impl Subject for Guests {
    fn stores(&self, detail: Detail) -> Vec<StoreReport> {
        let Some(engine) = self.engine.upgrade() else { return Vec::new() };
        let end = Instant::now() + PATIENCE;
        let inspectors = engine.inspectors();
        let reports = inspectors
            .iter()
            .filter_map(|inspector| report(inspector, detail, end.saturating_duration_since(Instant::now())));
        reports.collect()
    }

    fn profile(&self, wanted: &ProfileRequest, go_on: &dyn Fn() -> bool) -> Result<Vec<u8>> {
        let engine = self.engine.upgrade().context("the engine is gone")?;
        let words: Vec<OsString> = std::env::args_os().collect();
        let title = OutsideText::new(&words.join(OsStr::new(" "))).to_string();
        // The sampling interval is bounded, so that no client can stop a guest's progress.
        let profiler = Profiler::start(&engine, &title, wanted.interval.max(SHORTEST_INTERVAL))?;
        drop(engine);
        let start = Instant::now();
        while start.elapsed() < wanted.duration && go_on() {
            std::thread::sleep(STEP.min(wanted.duration.saturating_sub(start.elapsed())));
        }
        Ok(serde_json::to_vec(&profiler.finish()?)?)
    }

    fn kill(&self, store: Option<u64>, reason: &str) -> usize {
        let Some(engine) = self.engine.upgrade() else { return 0 };
        let Some(id) = store else { return engine.kill_all(reason) };
        let stores = engine.runtime().stores();
        // The number identifies the store that has it now: for a sandbox, the current session, and no later one.
        let of_number =
            stores.iter().map(|monitor| (monitor, monitor.store())).filter(|(_, s)| s.number() == id);
        of_number
            .filter(|(monitor, store)| monitor.kill(reason.into(), Some(*store)).unwrap_or(false))
            .count()
    }
}

/// Returns the report of a store; `None` if it was dropped meanwhile.
fn report(inspector: &Inspector, detail: Detail, timeout: Duration) -> Option<StoreReport> {
    let mut report = match inspector.capture(timeout) {
        Ok(stack) => of_stack(&stack, detail),
        Err(error) => {
            let is_gone = |e: &std::io::Error| e.kind() == std::io::ErrorKind::NotFound;
            if error.downcast_ref::<std::io::Error>().is_some_and(is_gone) {
                return None;
            }
            StoreReport::new(inspector.store_id(), StoreState::Unknown { reason: format!("{error:#}") })
        }
    };
    report.label = inspector.label().map(|label| PrintedName(&label).to_string());
    report.age = inspector.age();
    report.memory_bytes = inspector.memory_size();
    // If the session has ended meanwhile, the report may be incomplete.
    (!inspector.is_over()).then_some(report)
}

fn of_stack(stack: &Stack, detail: Detail) -> StoreReport {
    let state = match stack.state() {
        GuestState::Idle => StoreState::Idle,
        GuestState::InGuest => StoreState::Guest,
        GuestState::InHost => StoreState::Host {
            function: stack.host_function().map(|(m, n)| format!("{}::{}", PrintedName(m), PrintedName(n))),
            runtime: stack.host_call().and_then(|call| call.runtime_work()).map(Into::into),
            since: stack.in_host_for(),
        },
    };
    let mut report = StoreReport::new(stack.store_id(), state);
    report.thread = stack.thread_id().map(|id| {
        let cpu = thread_cpu_time(id.cast_signed()).unwrap_or_default();
        ThreadReport::new(id, thread_name(id).unwrap_or_default(), cpu)
    });
    let frames = stack.backtrace().frames();
    let kept = match detail {
        Detail::Innermost => 1,
        Detail::Stacks { all_frames: false } => FRAMES,
        Detail::Stacks { all_frames: true } => usize::MAX,
    };
    let kept = &frames[..frames.len().min(kept)];
    report.omitted = stack.backtrace().omitted() + frames.len() - kept.len();
    let mut calls = stack.host_calls().iter().filter(|call| call.by() > 0).peekable();
    for (i, frame) in kept.iter().enumerate() {
        let mut frame = match detail {
            // Debug information of a large program takes a while to read the first time.
            Detail::Innermost => named(frame),
            Detail::Stacks { .. } => of_frame(frame),
        };
        while let Some(call) = calls.next_if(|call| call.by() <= i) {
            frame.host_calls.push(call.to_string());
        }
        report.frames.push(frame);
    }
    report
}

fn printed(name: &str) -> String {
    PrintedName(name).to_string()
}

/// Reports a frame without its debug information.
fn named(frame: &FrameInfo) -> FrameReport {
    let name = frame.func_name().map(printed);
    let text = name.clone().unwrap_or_else(|| format!("<wasm function {}>", frame.func_index()));
    let mut report = FrameReport::new(frame.func_index(), text);
    report.module = frame.module_name().map(printed);
    report.func_name = name;
    report.module_offset = frame.module_offset().map(|offset| offset as u64);
    report
}

fn of_frame(frame: &FrameInfo) -> FrameReport {
    let mut report = named(frame);
    report.text = frame.to_string();
    for symbol in frame.symbols() {
        let mut told = SymbolReport::default();
        told.name = symbol.name().map(printed);
        told.file = symbol.file().map(printed);
        told.line = symbol.line();
        told.column = symbol.column();
        report.symbols.push(told);
    }
    report
}
