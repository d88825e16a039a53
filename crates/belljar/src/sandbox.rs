//! Sandboxes: a guest whose every call begins in the same, clean world.
//!
//! In: a module with its imports, and a closure that makes the host's state. Out: results of calls, each of which began where the
//! one before had begun. Never: a call that sees anything of another, however that ended.

use crate::instance::InstancePre;
use crate::linker::Definition;
use crate::{Instance, KillHandle, Result, Store, WasmParams, WasmResults};
use anyhow::Context;
use belljar_vm::Checkpoint;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

type MakeData<T> = Arc<dyn Fn() -> Result<T> + Send + Sync>;
type Prepare<T> = Arc<dyn Fn(&mut Store<T>) -> Result<()> + Send + Sync>;

/// What sandboxes are made from: a module with its imports, and how a fresh one comes to be.
pub struct SandboxTemplate<T: 'static> {
    pre: InstancePre<T>,
    make_data: MakeData<T>,
    prepare: Option<Prepare<T>>,
    init: Option<Box<str>>,
}

impl<T: 'static> Clone for SandboxTemplate<T> {
    fn clone(&self) -> Self {
        Self {
            pre: self.pre.clone(),
            make_data: self.make_data.clone(),
            prepare: self.prepare.clone(),
            init: self.init.clone(),
        }
    }
}

impl<T: 'static> fmt::Debug for SandboxTemplate<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxTemplate").field("module", self.pre.module()).finish_non_exhaustive()
    }
}

impl<T: 'static> SandboxTemplate<T> {
    /// Sandboxes of this module, whose host state `make_data` makes for each call or session.
    pub fn new(pre: InstancePre<T>, make_data: impl Fn() -> Result<T> + Send + Sync + 'static) -> Self {
        Self { pre, make_data: Arc::new(make_data), prepare: None, init: None }
    }

    /// Does something with each new store, before the module is instantiated in it: sets limits, for instance.
    pub fn prepare(mut self, prepare: impl Fn(&mut Store<T>) -> Result<()> + Send + Sync + 'static) -> Self {
        self.prepare = Some(Arc::new(prepare));
        self
    }

    /// Calls an export without parameters and results in each new sandbox. What it leaves behind is where calls begin.
    pub fn init(mut self, export: &str) -> Self {
        self.init = Some(export.into());
        self
    }

    /// A sandbox.
    ///
    /// # Errors
    ///
    /// Where the module cannot be instantiated, or its initialization does not return; where it is linked with something of a
    /// store, or has a memory that others share.
    pub fn build(&self) -> Result<Sandbox<T>> {
        Ok(Sandbox { template: self.clone(), world: self.world()?, is_dirty: false, broken: None })
    }

    fn world(&self) -> Result<World<T>> {
        let is_of_a_store = |item: &Definition| matches!(item, Definition::Extern(_));
        anyhow::ensure!(
            !self.pre.items.iter().any(is_of_a_store),
            "a sandbox was linked with something of a store: it has a store of its own, and takes host functions only"
        );
        let data = || (self.make_data)().context("the host's state could not be made");
        let mut store = Store::try_new(self.pre.module().engine(), data()?)?;
        if let Some(prepare) = &self.prepare {
            prepare(&mut store)?;
        }
        let instance = self.pre.instantiate(&mut store)?;
        if let Some(init) = &self.init {
            instance.get_typed_func::<(), ()>(&mut store, init)?.call(&mut store, ())?;
        }
        let checkpoint = store.checkpoint()?;
        // The first call begins as those that follow: with a store that went back, whose handles of before are refused, and with
        // a state of the host's that no initialization has seen.
        store.rewind(&checkpoint)?;
        *store.data_mut() = data()?;
        let number = instance.number();
        Ok(World { store, checkpoint, instance: number })
    }
}

/// A store, and what it goes back to.
struct World<T: 'static> {
    store: Store<T>,
    checkpoint: Checkpoint,
    /// The number of the module's instance.
    instance: u32,
}

/// A guest whose every call begins in the same, clean world.
///
/// ```
/// use belljar::{Engine, Linker, Module, SandboxTemplate};
///
/// let engine = Engine::default();
/// let module = Module::new(
///     &engine,
///     r#"(module (global $n (mut i32) (i32.const 0))
///         (func (export "add") (param i32) (result i32)
///             (global.set $n (i32.add (global.get $n) (local.get 0))) (global.get $n)))"#,
/// )?;
/// let pre = Linker::<()>::new(&engine).instantiate_pre(&module)?;
/// let mut sandbox = SandboxTemplate::new(pre, || Ok(())).build()?;
/// assert_eq!(sandbox.call::<i32, i32>("add", 1)?, 1);
/// assert_eq!(sandbox.call::<i32, i32>("add", 1)?, 1, "nothing is left of the call before");
///
/// let mut session = sandbox.session()?;
/// assert_eq!(session.call::<i32, i32>("add", 1)?, 1);
/// assert_eq!(session.call::<i32, i32>("add", 1)?, 2, "a session keeps what happens");
/// # Ok::<(), belljar::Error>(())
/// ```
pub struct Sandbox<T: 'static> {
    template: SandboxTemplate<T>,
    world: World<T>,
    /// Whether there was a session whose traces are not removed: it goes on, or was forgotten, or a destructor panicked.
    is_dirty: bool,
    /// Why the store is not to be used any more.
    broken: Option<crate::Error>,
}

impl<T: 'static> fmt::Debug for Sandbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("template", &self.template).finish_non_exhaustive()
    }
}

impl<T: 'static> Sandbox<T> {
    /// Calls an export, and makes the sandbox again what it was, however that ends.
    ///
    /// # Errors
    ///
    /// How the run ended if not by returning; that there is no such export.
    pub fn call<P: WasmParams, R: WasmResults>(&mut self, export: &str, params: P) -> Result<R> {
        self.session()?.call(export, params)
    }

    /// Several calls that see what the ones before did, up to when the session is dropped.
    ///
    /// # Errors
    ///
    /// Where the sandbox could not be made clean the last time, and no new one can be made.
    pub fn session(&mut self) -> Result<Session<'_, T>> {
        if self.is_dirty {
            self.reset();
        }
        if self.broken.is_some() {
            let world = self.template.world();
            self.world = world.context("a sandbox that could not be cleaned was discarded")?;
            // Only now: making a world may panic, and so may destructors.
            self.broken = None;
        }
        self.is_dirty = true;
        let World { store, checkpoint, .. } = &mut self.world;
        store.restart_epochs(checkpoint);
        Ok(Session { sandbox: self })
    }

    /// A handle for other threads, to end the call that is going on.
    pub fn kill_handle(&self) -> KillHandle {
        self.world.store.kill_handle()
    }

    /// The one way back: after every call and session.
    fn reset(&mut self) {
        // This may run while a panic of the host goes on.
        let made = catch_unwind(AssertUnwindSafe(|| (self.template.make_data)()));
        let made = made.unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked")));
        let data = made.context("the host's state could not be made");
        let World { store, checkpoint, .. } = &mut self.world;
        let cleaned = store.rewind(checkpoint);
        match data.and_then(|data| cleaned.map(|()| data)) {
            Ok(data) => *store.data_mut() = data,
            Err(error) => self.broken = Some(error),
        }
        self.is_dirty = false;
    }
}

/// Calls of a sandbox that see what the ones before did. When it is dropped, the sandbox is again what it was.
#[derive(Debug)]
pub struct Session<'a, T: 'static> {
    sandbox: &'a mut Sandbox<T>,
}

impl<T: 'static> Session<'_, T> {
    /// Calls an export.
    ///
    /// # Errors
    ///
    /// How the run ended if not by returning; that there is no such export.
    pub fn call<P: WasmParams, R: WasmResults>(&mut self, export: &str, params: P) -> Result<R> {
        let func = self.instance().get_typed_func::<P, R>(self.store(), export)?;
        func.call(self.store(), params)
    }

    /// The sandbox's instance, for this session.
    pub fn instance(&self) -> Instance {
        self.sandbox.world.store.instance(self.sandbox.world.instance)
    }

    /// The store, to be used with the instance.
    pub fn store(&mut self) -> &mut Store<T> {
        &mut self.sandbox.world.store
    }
}

impl<T: 'static> Drop for Session<'_, T> {
    fn drop(&mut self) {
        self.sandbox.reset();
    }
}
