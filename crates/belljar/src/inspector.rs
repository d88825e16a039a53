//! Inspecting a running guest from another thread.

use crate::engine::Engine;
use crate::store::Store;
use crate::{Instance, Result, WasmBacktrace};
use belljar_abi::Builtin;
use belljar_core::Context;
use belljar_vm::{HostCallee, StackSnapshot, StoreId, StoreMonitor, ThreadState};
use belljar_watch::{FrameInfo, PrintedName};
use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A handle to inspect a store's guest while it runs. It is cheap to clone, and does not keep the store alive.
///
/// [`crate::Store::inspector`] creates it. An inspector of a sandbox session is valid until the session ends. Guest
/// code is the same with and without inspection: a signal interrupts the thread that runs the guest, whatever it is
/// doing, and the thread walks its own stack and continues.
#[derive(Clone)]
pub struct Inspector {
    monitor: Arc<StoreMonitor>,
    /// A sandbox gets a new store id after each session; this handle is valid for one session.
    store: StoreId,
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspector").field("store_id", &self.store_id()).finish_non_exhaustive()
    }
}

/// What a guest was doing when its stack was captured.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum GuestState {
    /// No guest code of the store was running or waiting for the host.
    Idle,
    /// The guest was executing code, in the innermost frame.
    InGuest,
    /// The guest was in the host, called by the innermost frame: in a host function, or in the runtime, for example to
    /// grow a memory.
    InHost,
}

/// A call from a guest to the host, on a stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StackHostCall {
    by: usize,
    callee: HostCallee,
}

impl StackHostCall {
    /// Returns the index of the calling frame in [`Stack::backtrace`]. The frames before it belong to guests that ran
    /// during this call.
    pub fn by(&self) -> usize {
        self.by
    }

    /// Returns the module and the name by which the host function is imported, as given to a [`crate::Linker`] or named
    /// by the calling instruction. Returns `None` if neither is known, or if the guest is in the runtime.
    pub fn function(&self) -> Option<(&str, &str)> {
        match &self.callee {
            HostCallee::Function(Some(name)) => Some((&name.module, &name.name)),
            _ => None,
        }
    }

    /// Returns what the runtime does for the guest, usually the name of an instruction. Returns `None` for a host
    /// function.
    pub fn runtime_work(&self) -> Option<&'static str> {
        match self.callee {
            HostCallee::Builtin(builtin) => Some(runtime_work(builtin)),
            HostCallee::Function(_) => None,
        }
    }
}

/// `the host function wasi_snapshot_preview1::fd_read`, `a host function`, `the runtime (memory.fill)`.
impl fmt::Display for StackHostCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.function(), self.runtime_work()) {
            (_, Some(work)) => write!(f, "the runtime ({work})"),
            (Some((module, name)), _) => {
                write!(f, "the host function {}::{}", PrintedName(module), PrintedName(name))
            }
            _ => f.write_str("a host function"),
        }
    }
}

/// Returns a short description of what the runtime does for the guest: the name of the instruction, if there is one.
pub(crate) fn runtime_work(builtin: Builtin) -> &'static str {
    match builtin {
        Builtin::MemoryGrow => "memory.grow",
        Builtin::MemoryCopy => "memory.copy",
        Builtin::MemoryFill => "memory.fill",
        Builtin::MemoryInit => "memory.init",
        Builtin::MemoryWait32 => "memory.atomic.wait32",
        Builtin::MemoryWait64 => "memory.atomic.wait64",
        Builtin::MemoryNotify => "memory.atomic.notify",
        Builtin::DataDrop => "data.drop",
        Builtin::TableGrow => "table.grow",
        Builtin::TableFill => "table.fill",
        Builtin::TableCopy => "table.copy",
        Builtin::TableInit => "table.init",
        Builtin::ElemDrop => "elem.drop",
        Builtin::GcAlloc => "allocation, garbage collection",
        Builtin::GcAllocArray => "array.new",
        Builtin::ArrayNewData => "array.new_data",
        Builtin::ArrayNewElem => "array.new_elem",
        Builtin::ArrayInitData => "array.init_data",
        Builtin::ArrayInitElem => "array.init_elem",
        Builtin::ArrayCopy => "array.copy",
        Builtin::ThrowRef => "throw",
        Builtin::OutOfFuel => "fuel",
        Builtin::NewEpoch => "epoch deadline",
    }
}

/// The stack of a guest at one moment.
#[derive(Clone, Debug)]
pub struct Stack {
    store: u64,
    label: Option<Arc<str>>,
    state: GuestState,
    thread: Option<u32>,
    in_host_for: Option<Duration>,
    host_calls: Vec<StackHostCall>,
    instances: Vec<Option<Instance>>,
    backtrace: WasmBacktrace,
}

impl Stack {
    fn new(monitor: &StoreMonitor, store: StoreId, snapshot: &StackSnapshot) -> Self {
        let mut frames: Vec<FrameInfo> = Vec::new();
        let mut host_calls = Vec::new();
        let mut omitted = snapshot.stack.omitted();
        let mut calls = snapshot.stack.host_calls().iter().peekable();
        for (i, frame) in snapshot.stack.frames().iter().enumerate() {
            let functions = FrameInfo::of_frame(frame).unwrap_or_default();
            omitted += usize::from(functions.is_empty());
            while let Some(call) = calls.next_if(|call| call.by <= i) {
                let callee = match (&call.callee, functions.first()) {
                    (HostCallee::Function(None), Some(by)) => HostCallee::Function(import_called_by(by)),
                    _ => call.callee.clone(),
                };
                host_calls.push(StackHostCall { by: frames.len(), callee });
            }
            frames.extend(functions);
        }
        host_calls.extend(calls.map(|call| StackHostCall { by: frames.len(), callee: call.callee.clone() }));
        let instance = |frame: &FrameInfo| {
            let id = monitor.instance_of(frame.wasm_module())?;
            Some(Instance::from_id(store, id))
        };
        Self {
            store: store.number(),
            label: monitor.label(),
            state: match snapshot.doing {
                ThreadState::Idle => GuestState::Idle,
                ThreadState::Guest => GuestState::InGuest,
                ThreadState::Host => GuestState::InHost,
            },
            thread: snapshot.thread.and_then(|thread| u32::try_from(thread).ok()),
            in_host_for: snapshot.in_host_for,
            host_calls,
            instances: frames.iter().map(instance).collect(),
            backtrace: WasmBacktrace::of_frames(frames, omitted),
        }
    }

    /// Returns the store's number in the process: see [`Inspector::store_id`].
    pub fn store_id(&self) -> u64 {
        self.store
    }

    /// Returns the store's label: see [`crate::Store::set_label`].
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Returns what the guest was doing.
    pub fn state(&self) -> GuestState {
        self.state
    }

    /// Returns the operating system's id of the guest's thread, or `None` if the guest was idle.
    pub fn thread_id(&self) -> Option<u32> {
        self.thread
    }

    /// Returns the call by which the guest was in the host, or `None` if it was not, or was just entering or leaving
    /// the host.
    pub fn host_call(&self) -> Option<&StackHostCall> {
        self.host_calls.first().filter(|call| self.state == GuestState::InHost && call.by == 0)
    }

    /// Returns the module and the name of the host function in which the guest was: [`StackHostCall::function`] of
    /// [`Stack::host_call`].
    pub fn host_function(&self) -> Option<(&str, &str)> {
        self.host_call()?.function()
    }

    /// Returns how long the guest had been in the host function, with a resolution of a few milliseconds. It is known
    /// only for calls that began after an inspector of the store was created.
    pub fn in_host_for(&self) -> Option<Duration> {
        self.in_host_for
    }

    /// Returns all calls to the host on the stack, innermost first: a host function may call a guest again.
    pub fn host_calls(&self) -> &[StackHostCall] {
        &self.host_calls
    }

    /// Returns the guest's frames. There are none if it was idle.
    pub fn backtrace(&self) -> &WasmBacktrace {
        &self.backtrace
    }

    /// Returns the instance of a frame of the backtrace. Returns `None` if the store has several instances of the
    /// frame's module, because compiled code does not tell which of them it runs for.
    pub fn instance_of_frame(&self, frame: usize) -> Option<Instance> {
        self.instances.get(frame).copied().flatten()
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            GuestState::Idle => return f.write_str("idle"),
            GuestState::InGuest => f.write_str("in guest code")?,
            GuestState::InHost => {
                match self.host_call() {
                    Some(call) => write!(f, "in {call}")?,
                    None => f.write_str("in the host")?,
                }
                if let Some(time) = self.in_host_for {
                    write!(f, " for {:.1} s", time.as_secs_f64())?;
                }
                f.write_str(", called by")?;
            }
        }
        f.write_str("\nwasm backtrace:")?;
        let mut calls = self.host_calls.iter().peekable();
        for (i, frame) in self.backtrace.frames().iter().enumerate() {
            while let Some(call) = calls.next_if(|call| call.by <= i) {
                // The first line shows the innermost call already.
                if i > 0 {
                    write!(f, "\n       {call}")?;
                }
            }
            write!(f, "\n  {i:>3}: {frame}")?;
        }
        f.write_str(&self.backtrace.last_line(0))
    }
}

impl Inspector {
    pub(crate) fn of(monitor: Arc<StoreMonitor>) -> Self {
        let store = monitor.store();
        monitor.note_host_calls();
        Self { monitor, store }
    }

    #[doc(hidden)]
    pub fn monitor(&self) -> &Arc<StoreMonitor> {
        &self.monitor
    }

    /// Returns the kernel's id of the thread that runs the guest, or `None` if no thread does.
    pub(crate) fn thread(&self) -> Option<i32> {
        self.of_this_store(StoreMonitor::thread_id)
    }

    /// Returns the store's number, which is unique in the process. Each session of a sandbox has a number of its own.
    pub fn store_id(&self) -> u64 {
        self.store.number()
    }

    /// Returns whether the store was dropped, or the sandbox session has ended.
    pub fn is_over(&self) -> bool {
        self.monitor.is_over(self.store)
    }

    /// Returns the store's label: see [`crate::Store::set_label`]. Returns `None` if the session is over.
    pub fn label(&self) -> Option<Arc<str>> {
        self.of_this_store(StoreMonitor::label)
    }

    /// Returns the bytes of the store's linear memories and of its garbage-collected heap, or 0 if the session is over.
    pub fn memory_size(&self) -> u64 {
        self.of_this_store(|monitor| Some(monitor.memory())).unwrap_or_default()
    }

    /// Returns how long the store has existed, or, for a sandbox, the time since it was reset for the session. Returns
    /// 0 if the session is over.
    pub fn age(&self) -> Duration {
        self.of_this_store(|monitor| Some(monitor.age())).unwrap_or_default()
    }

    /// Captures the guest's current stack. It interrupts the guest for some microseconds.
    ///
    /// # Errors
    ///
    /// Returns an error if the store was dropped or the session is over, or if its thread did not answer within
    /// `timeout`, because it blocks signals or was not scheduled.
    pub fn capture(&self, timeout: Duration) -> Result<Stack> {
        let read = |snapshot: StackSnapshot| Stack::new(&self.monitor, self.store, &snapshot);
        self.monitor.look(self.store, timeout, read).context("could not inspect the guest")
    }

    /// Asks the store's monitor; returns `None` if the monitor belongs to another store now.
    fn of_this_store<R>(&self, ask: impl FnOnce(&StoreMonitor) -> Option<R>) -> Option<R> {
        // ORDER: the id changes first, so that an answer from before this check belongs to this store.
        ask(&self.monitor).filter(|_| self.monitor.store() == self.store)
    }
}

/// Returns the import that a frame calls, if the module keeps its names with its code.
pub(crate) fn import_called_by(frame: &FrameInfo) -> Option<belljar_vm::HostName> {
    let pc = belljar_core::WasmPc(u32::try_from(frame.module_offset()?).ok()?);
    let import = frame.wasm_module().import_called_at(pc)?;
    Some(belljar_vm::HostName { module: (*import.module).into(), name: (*import.name).into() })
}

impl<T: 'static> Store<T> {
    /// Returns a handle with which other threads can inspect the store's guest while it runs. In a sandbox session, it
    /// is valid for this session only.
    ///
    /// ```
    /// use belljar::{Engine, GuestState, Instance, Module, Store};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::default();
    /// let module = Module::new(
    ///     &engine,
    ///     r#"(module
    ///         (global $stop (mut i32) (i32.const 0))
    ///         (func $spin (loop (br_if 0 (i32.eqz (global.get $stop)))))
    ///         (func (export "run") (call $spin)))"#,
    /// )?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
    /// let inspector = store.inspector();
    /// assert_eq!(inspector.capture(Duration::from_secs(1))?.state(), GuestState::Idle);
    ///
    /// std::thread::spawn(move || run.call(&mut store, ()));
    /// let stack = loop {
    ///     let stack = inspector.capture(Duration::from_secs(1))?;
    ///     if stack.state() == GuestState::InGuest {
    ///         break stack;
    ///     }
    /// };
    /// assert_eq!(stack.backtrace().frames().last().unwrap().func_index(), 1);
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn inspector(&self) -> Inspector {
        Inspector::of(self.inner.core().monitor().clone())
    }
}

impl Engine {
    /// Returns inspectors of the engine's stores, the oldest store first.
    pub fn inspectors(&self) -> Vec<Inspector> {
        self.runtime().stores().into_iter().map(Inspector::of).collect()
    }

    /// Captures the stacks of all stores of the engine whose guests are running or waiting for the host, the oldest
    /// store first. A store whose thread does not answer within `timeout`, which is for all stores together, is
    /// reported as an error.
    ///
    /// ```
    /// # use belljar::Engine;
    /// # use std::time::Duration;
    /// # let engine = Engine::default();
    /// for stack in engine.stacks(Duration::from_secs(1)) {
    ///     match stack {
    ///         Ok(stack) => println!("{}: {stack}", stack.label().unwrap_or("a store")),
    ///         Err(error) => println!("{error:#}"),
    ///     }
    /// }
    /// ```
    pub fn stacks(&self, timeout: Duration) -> Vec<Result<Stack>> {
        let end = Instant::now() + timeout;
        let left = || end.saturating_duration_since(Instant::now());
        let running = self.inspectors().into_iter().filter(|inspector| inspector.thread().is_some());
        let stacks = running.map(|inspector| inspector.capture(left()));
        // The store has become idle or was dropped since.
        let is_over = |stack: &Result<Stack>| match stack {
            Ok(stack) => stack.state() == GuestState::Idle,
            Err(error) => {
                error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::NotFound)
            }
        };
        stacks.filter(|stack| !is_over(stack)).collect()
    }
}
