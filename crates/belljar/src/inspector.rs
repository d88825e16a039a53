//! Looking at a running guest from another thread.

use crate::engine::Engine;
use crate::store::Store;
use crate::{Instance, Result, WasmBacktrace};
use anyhow::Context;
use belljar_abi::Builtin;
use belljar_vm::{HostCallee, StackSnapshot, StoreId, StoreMonitor, ThreadState};
use belljar_watch::{FrameInfo, PrintedName};
use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A handle to look at a store's guest while it runs. Cheap to clone; it does not keep the store.
///
/// Made by [`crate::Store::inspector`]. One of a sandbox's session ends with the session: then there is nothing to be seen with it any
/// more. The guest's code has nothing to do with it and is the same with and without: the thread
/// that runs the guest is asked by a signal, wherever it is, walks its own stack, and goes on.
#[derive(Clone)]
pub struct Inspector {
    monitor: Arc<StoreMonitor>,
    /// A sandbox is another store after each session, and this handle is one session's.
    store: StoreId,
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspector").field("store_id", &self.store_id()).finish_non_exhaustive()
    }
}

/// What a guest was about when it was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum GuestState {
    /// No guest code of the store was running, or waiting for the host.
    Idle,
    /// It executed guest code: the innermost frame.
    InGuest,
    /// It was in the host, on behalf of the innermost frame: in a function of the embedder's, or in the runtime, to grow a
    /// memory for instance.
    InHost,
}

/// A call of the host by a guest that is on a stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StackHostCall {
    by: usize,
    callee: HostCallee,
}

impl StackHostCall {
    /// The frame that called, by its place in [`Stack::backtrace`]. The frames before it are of guests that ran in this call.
    pub fn by(&self) -> usize {
        self.by
    }

    /// Module and name by which the function of the embedder's is imported: those that a [`crate::Linker`] was given, or that
    /// the calling instruction names. `None` where neither is known, and where it is no function of the embedder's.
    pub fn function(&self) -> Option<(&str, &str)> {
        match &self.callee {
            HostCallee::Function(Some(name)) => Some((&name.module, &name.name)),
            _ => None,
        }
    }

    /// What the runtime does for the guest, if it is no function of the embedder's: mostly an instruction's name.
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

/// What the runtime does for a guest, in a few words: the instruction, where it is one's.
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

    /// The store's number in the process: see [`Inspector::store_id`].
    pub fn store_id(&self) -> u64 {
        self.store
    }

    /// What the store is called: see [`crate::Store::set_label`].
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// What the guest was about.
    pub fn state(&self) -> GuestState {
        self.state
    }

    /// The operating system's number of the thread that ran it; `None` if it was idle.
    pub fn thread_id(&self) -> Option<u32> {
        self.thread
    }

    /// The call by which the guest was in the host; `None` where it was not, or was just leaving or entering.
    pub fn host_call(&self) -> Option<&StackHostCall> {
        self.host_calls.first().filter(|call| self.state == GuestState::InHost && call.by == 0)
    }

    /// Module and name of the function of the embedder's in which the guest was: [`StackHostCall::function`] of
    /// [`Stack::host_call`].
    pub fn host_function(&self) -> Option<(&str, &str)> {
        self.host_call()?.function()
    }

    /// How long it had been in that function, to some milliseconds. Known of calls that began after somebody had asked for an
    /// inspector of the store.
    pub fn in_host_for(&self) -> Option<Duration> {
        self.in_host_for
    }

    /// All calls of the host on the stack, innermost first: a host function may have called a guest again.
    pub fn host_calls(&self) -> &[StackHostCall] {
        &self.host_calls
    }

    /// Its frames; none if it was idle.
    pub fn backtrace(&self) -> &WasmBacktrace {
        &self.backtrace
    }

    /// The instance that a frame of the backtrace ran for. `None` where the store has several of its module: compiled code does
    /// not say which it runs for.
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
                // The first line has told of the innermost.
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

    /// The thread that runs the guest, by its number in the kernel; `None` if none does.
    pub(crate) fn thread(&self) -> Option<i32> {
        self.of_this_store(StoreMonitor::thread_id)
    }

    /// The store's number: no two stores of a process have the same, nor have two sessions of a sandbox.
    pub fn store_id(&self) -> u64 {
        self.store.number()
    }

    /// Whether the store is gone, or the session of a sandbox over that it was made in.
    pub fn is_over(&self) -> bool {
        self.monitor.is_over(self.store)
    }

    /// What the store is called: see [`crate::Store::set_label`]. `None` where the session is over, too.
    pub fn label(&self) -> Option<Arc<str>> {
        self.of_this_store(StoreMonitor::label)
    }

    /// Bytes of the store's linear memories and of its garbage-collected heap; 0 where the session is over.
    pub fn memory_size(&self) -> u64 {
        self.of_this_store(|monitor| Some(monitor.memory())).unwrap_or_default()
    }

    /// How long the store has been there; of a sandbox, since it was made clean for the session. 0 where the session is over.
    pub fn age(&self) -> Duration {
        self.of_this_store(|monitor| Some(monitor.age())).unwrap_or_default()
    }

    /// Takes the guest's stack as it is now. The guest loses some microseconds.
    ///
    /// # Errors
    ///
    /// Where the store is gone or the session over, or its thread did not answer within `timeout`: it blocks signals, or has
    /// not got to run.
    pub fn capture(&self, timeout: Duration) -> Result<Stack> {
        let read = |snapshot: StackSnapshot| Stack::new(&self.monitor, self.store, &snapshot);
        self.monitor.look(self.store, timeout, read).context("could not look at the guest")
    }

    /// Asks what others know of the store; `None` where it is another one now.
    fn of_this_store<R>(&self, ask: impl FnOnce(&StoreMonitor) -> Option<R>) -> Option<R> {
        // ORDER: the id is the first that changes, so that what was told before this look is of this store.
        ask(&self.monitor).filter(|_| self.monitor.store() == self.store)
    }
}

/// The import that a frame calls, where its module was kept with its code.
pub(crate) fn import_called_by(frame: &FrameInfo) -> Option<belljar_vm::HostName> {
    let pc = belljar_core::WasmPc(u32::try_from(frame.module_offset()?).ok()?);
    let import = frame.wasm_module().import_called_at(pc)?;
    Some(belljar_vm::HostName { module: (*import.module).into(), name: (*import.name).into() })
}

impl<T: 'static> Store<T> {
    /// A handle for other threads, to look at the store's guest while it runs. In a session of a sandbox it is the session's, and sees
    /// nothing of those that follow.
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
    /// Handles to look at its stores, the oldest first.
    pub fn inspectors(&self) -> Vec<Inspector> {
        self.runtime().stores().into_iter().map(Inspector::of).collect()
    }

    /// The stacks of its stores whose guests are running, or waiting for the host; those of stores that began first come first.
    /// A store whose thread does not answer within `timeout`, all stores together, is told of by an error.
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
        // It has come back, or is gone, since.
        let is_over = |stack: &Result<Stack>| match stack {
            Ok(stack) => stack.state() == GuestState::Idle,
            Err(error) => {
                error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::NotFound)
            }
        };
        stacks.filter(|stack| !is_over(stack)).collect()
    }
}
