//! Profiles: where the guests of an engine spend CPU time.
//!
//! In: samples of running threads (belljar-vm). Out: a [`Profile`] with names, lines and host functions. Never: changes
//! a guest's code, or looks up a position twice.

use crate::inspector::{import_called_by, runtime_work};
use crate::{Engine, EngineWeak, Result};
use belljar_core::{CodeOffset, Context};
use belljar_profile::{FrameId, Profile, ProfileBuilder, ProfileFrame};
use belljar_vm::{CodeChunk, HostCallee, HostName, RawFrame, Sample, Sampler, Samples, process_generation};
use belljar_watch::{FrameInfo, PrintedName};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Records where the guests of an engine spend CPU time, from [`Profiler::start`] to [`Profiler::finish`].
///
/// A timer of its CPU time interrupts each thread that runs guests; the thread records its stack and continues. Guest
/// code is the same with and without profiling. Threads that wait are not sampled. Stacks hold guest functions with
/// name, file and line, including inlined ones, the host functions that they called, and what the runtime did for them.
/// The profiler looks names up on a thread of its own.
///
/// ```
/// use belljar::{Engine, Instance, Module, ProfileFormat, Profiler, Store};
/// use std::time::Duration;
///
/// let engine = Engine::default();
/// let wat = r#"(module (func $work (export "work") (param i32)
///     (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;
/// let module = Module::new(&engine, wat)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let work = instance.get_typed_func::<i32, ()>(&mut store, "work")?;
///
/// let profiler = Profiler::start(&engine, "work.wat", Duration::from_millis(1))?;
/// work.call(&mut store, 200_000_000)?;
/// let profile = profiler.finish()?;
/// print!("{:.10}", profile.summary());
/// profile.write_to(ProfileFormat::Collapsed, &mut std::io::stdout())?;
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Debug)]
pub struct Profiler {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<(Profile, Option<io::Error>)>,
    engine: EngineWeak,
    /// The process that started the profiler.
    process: u32,
}

/// How often samples are fetched.
const FETCH: Duration = Duration::from_millis(20);

impl Profiler {
    /// Starts recording. `title` describes what is profiled; `interval` is the CPU time between two samples of a
    /// thread, usually a millisecond. Kernels check CPU-time clocks 100 to 1000 times a second (`CONFIG_HZ`); a sample
    /// then stands for several intervals, and records how many. An interval below a millisecond is kept if the process
    /// may use the kernel's performance counters, and costs more.
    ///
    /// # Errors
    ///
    /// Returns an error if a profile of this process is already being recorded, or if no more timers or threads can be
    /// created.
    pub fn start(engine: &Engine, title: &str, interval: Duration) -> Result<Self> {
        let sampler = Sampler::start(interval).context("could not start recording a profile")?;
        let names = Names::new(ProfileBuilder::new(title, interval));
        let recorder =
            Recorder { sampler, engine: engine.runtime().number(), names, threads: HashSet::new() };
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("belljar-profiler".into())
            .spawn(move || recorder.record(&stopped))
            .context("could not start the thread that looks up names for the profile")?;
        Ok(Self { stop, thread, engine: engine.weak(), process: process_generation() })
    }

    /// Stops recording and returns the profile. If threads could not be sampled, there is a warning in
    /// [`Engine::problems`].
    ///
    /// # Errors
    ///
    /// Returns an error in a forked child, or if the profiler's thread has panicked, which is a bug.
    pub fn finish(self) -> Result<Profile> {
        belljar_core::ensure!(
            self.process == process_generation(),
            "the profiler was started before the process was forked, and runs only in the parent"
        );
        // Dropping it tells the thread to stop.
        drop(self.stop);
        let ended = self.thread.join();
        let (profile, problem) = ended
            .map_err(|_| belljar_core::format_err!("the profiler's thread has panicked: a bug in belljar"))?;
        if let (Some(problem), Some(engine)) = (problem, self.engine.upgrade()) {
            engine.warn(format!("a profile lacks threads that could not be sampled: {problem}"));
        }
        Ok(profile)
    }
}

/// Fetches samples and looks up the names in them.
struct Recorder {
    sampler: Sampler,
    engine: usize,
    names: Names,
    /// Threads whose names are known.
    threads: HashSet<i32>,
}

impl Recorder {
    fn record(mut self, stopped: &mpsc::Receiver<()>) -> (Profile, Option<io::Error>) {
        while stopped.recv_timeout(FETCH) == Err(mpsc::RecvTimeoutError::Timeout) {
            let samples = self.sampler.take();
            self.add(&samples);
        }
        let Self { sampler, .. } = &self;
        sampler.stop();
        let (samples, lost) = (sampler.take(), sampler.lost());
        self.add(&samples);
        self.names.builder.lost(lost);
        (self.names.builder.finish(), self.sampler.problem())
    }

    fn add(&mut self, samples: &Samples) {
        for sample in samples.samples.iter().filter(|sample| sample.engine == self.engine) {
            self.names.add(sample);
            if self.threads.insert(sample.thread) {
                self.names.name_thread(sample.thread);
            }
        }
    }
}

/// The frames of positions that were already looked up.
struct Names {
    builder: ProfileBuilder,
    in_code: HashMap<(usize, CodeOffset), Arc<[FrameId]>>,
    /// These keep the addresses above from being reused, but not the code alive.
    codes: HashMap<usize, Weak<CodeChunk>>,
    host_calls: HashMap<HostCallee, FrameId>,
    omitted: Option<FrameId>,
    /// The stack of the sample that is being added.
    stack: Vec<FrameId>,
}

impl Names {
    fn new(builder: ProfileBuilder) -> Self {
        Self {
            builder,
            in_code: HashMap::new(),
            codes: HashMap::new(),
            host_calls: HashMap::new(),
            omitted: None,
            stack: Vec::new(),
        }
    }

    fn name_thread(&mut self, thread: i32) {
        let id = thread.unsigned_abs();
        if let Some(name) = thread_name(id) {
            self.builder.thread(id.into(), &name);
        }
    }

    fn add(&mut self, sample: &Sample) {
        let mut stack = std::mem::take(&mut self.stack);
        let mut calls = sample.stack.host_calls().iter().peekable();
        for (i, frame) in sample.stack.frames().iter().enumerate() {
            while let Some(call) = calls.next_if(|call| call.by <= i) {
                stack.push(self.of_host_call(&call.callee, Some(frame)));
            }
            stack.extend_from_slice(&self.of_frame(frame));
        }
        for call in calls {
            stack.push(self.of_host_call(&call.callee, None));
        }
        if sample.stack.omitted() > 0 {
            let builder = &mut self.builder;
            let omitted = *self.omitted.get_or_insert_with(|| {
                builder.frame(ProfileFrame::runtime("outer frames that were not kept"))
            });
            stack.push(omitted);
        }
        self.builder.sample(sample.time, sample.thread.unsigned_abs().into(), sample.weight, &stack);
        stack.clear();
        self.stack = stack;
    }

    fn of_host_call(&mut self, callee: &HostCallee, by: Option<&RawFrame>) -> FrameId {
        let callee = match (callee, by) {
            (HostCallee::Function(None), Some(by)) => {
                let caller = FrameInfo::of_frame(by).and_then(|functions| functions.into_iter().next());
                &HostCallee::Function(caller.as_ref().and_then(import_called_by))
            }
            _ => callee,
        };
        if let Some(known) = self.host_calls.get(callee) {
            return *known;
        }
        let frame = match callee {
            HostCallee::Function(Some(HostName { module, name })) => {
                ProfileFrame::host(&format!("{}::{}", PrintedName(module), PrintedName(name)))
            }
            HostCallee::Function(None) => ProfileFrame::host("host function"),
            HostCallee::Builtin(builtin) => ProfileFrame::runtime(runtime_work(*builtin)),
        };
        let id = self.builder.frame(frame);
        self.host_calls.insert(callee.clone(), id);
        id
    }

    fn of_frame(&mut self, frame: &RawFrame) -> Arc<[FrameId]> {
        let code = Arc::as_ptr(frame.code()).addr();
        let place = (code, frame.offset());
        if let Some(known) = self.in_code.get(&place) {
            return known.clone();
        }
        let functions = FrameInfo::of_frame(frame).unwrap_or_default();
        let mut frames = Vec::new();
        for (i, function) in functions.iter().enumerate() {
            let is_inlined = i + 1 < functions.len();
            frames.extend(
                profile_frames(function, is_inlined).into_iter().map(|frame| self.builder.frame(frame)),
            );
        }
        let frames: Arc<[FrameId]> = frames.into();
        self.codes.entry(code).or_insert_with(|| Arc::downgrade(frame.code()));
        self.in_code.insert(place, frames.clone());
        frames
    }
}

/// Returns the frames of one wasm function on the stack, innermost first: the functions that the guest's compiler
/// inlined there, and the function itself. `is_inlined` says whether belljar inlined the function, too. Reads debug
/// information.
fn profile_frames(function: &FrameInfo, is_inlined: bool) -> Vec<ProfileFrame> {
    let printed = |name: &str| PrintedName(name).to_string();
    let wasm_name = || match function.func_name() {
        Some(name) => printed(name),
        None => format!("<wasm function {}>", function.func_index()),
    };
    let finished = |frame: ProfileFrame, is_inlined: bool| {
        let frame = function.module_name().map_or(frame.clone(), |module| frame.in_module(&printed(module)));
        if is_inlined { frame.inlined() } else { frame }
    };
    let symbols = function.symbols();
    if symbols.is_empty() {
        return vec![finished(ProfileFrame::guest(&wasm_name()), is_inlined)];
    }
    let outermost = symbols.len() - 1;
    let frame = |(i, symbol): (usize, &crate::FrameSymbol)| {
        let name = match symbol.name() {
            Some(name) => printed(name),
            None if i == outermost => wasm_name(),
            None => "<inlined function>".to_string(),
        };
        let frame = ProfileFrame::guest(&name);
        let frame = symbol.file().map_or(frame.clone(), |file| frame.at(&printed(file), symbol.line()));
        finished(frame, is_inlined || i < outermost)
    };
    symbols.iter().enumerate().map(frame).collect()
}

/// Returns the name of a thread of this process.
pub(crate) fn thread_name(id: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/self/task/{id}/comm")).ok()?;
    Some(PrintedName(name.trim_end()).to_string())
}
