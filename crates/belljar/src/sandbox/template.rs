//! What sandboxes are made from, and how a world comes to be: by running its beginning once, and by copying it from then on.

use super::world::World;
use super::worlds::{Room, Worlds};
use super::{Sandbox, SandboxPool};
use crate::instance::InstancePre;
use crate::linker::Definition;
use crate::{Limits, PoolConfig, Result, Store};
use anyhow::Context;
use belljar_vm::Checkpoint;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

type MakeData<T> = Arc<dyn Fn() -> Result<T> + Send + Sync>;
type Prepare<T> = Arc<dyn Fn(&mut Store<T>) -> Result<()> + Send + Sync>;

/// What sandboxes are made from: a module with its imports, and how a fresh one comes to be.
///
/// The module is instantiated and initialized once. What that leaves behind is shared by all sandboxes of the template, which
/// begin there without running anything.
pub struct SandboxTemplate<T: 'static> {
    recipe: Arc<Recipe<T>>,
    /// Of the sandboxes that were built one by one.
    worlds: Arc<Worlds<T>>,
}

/// How worlds are made.
pub(super) struct Recipe<T: 'static> {
    pre: InstancePre<T>,
    make_data: MakeData<T>,
    prepare: Option<Prepare<T>>,
    init: Option<Box<str>>,
    limits: Limits,
    pub(super) verify: bool,
    origin: Mutex<Origin>,
}

/// Where worlds begin.
#[derive(Clone)]
enum Origin {
    /// It is not known yet.
    Unknown,
    /// Where another began.
    Shared(Arc<Checkpoint>),
    /// Each must run its own beginning, as that adds things to its store that have addresses.
    Own,
}

impl<T: 'static> Clone for SandboxTemplate<T> {
    fn clone(&self) -> Self {
        Self { recipe: self.recipe.clone(), worlds: self.worlds.clone() }
    }
}

impl<T: 'static> fmt::Debug for SandboxTemplate<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxTemplate").field("module", self.recipe.pre.module()).finish_non_exhaustive()
    }
}

/// Sandboxes that are built one by one are as many as there are; of their worlds these are kept when nobody is in them.
const KEPT_WORLDS: usize = 64;

impl<T: 'static> SandboxTemplate<T> {
    /// Sandboxes of this module, whose host state `make_data` makes for each call or session.
    pub fn new(pre: InstancePre<T>, make_data: impl Fn() -> Result<T> + Send + Sync + 'static) -> Self {
        let origin = Mutex::new(Origin::Unknown);
        Self::of(Recipe {
            pre,
            make_data: Arc::new(make_data),
            prepare: None,
            init: None,
            limits: Limits::unlimited(),
            verify: false,
            origin,
        })
    }

    fn of(recipe: Recipe<T>) -> Self {
        let recipe = Arc::new(recipe);
        let room = Room { most: usize::MAX, kept: KEPT_WORLDS };
        Self { worlds: Arc::new(Worlds::new(recipe.clone(), room)), recipe }
    }

    /// Another template, which differs in something.
    fn with(self, change: impl FnOnce(&mut Recipe<T>)) -> Self {
        let Recipe { pre, make_data, prepare, init, limits, verify, .. } = &*self.recipe;
        let mut recipe = Recipe {
            pre: pre.clone(),
            make_data: make_data.clone(),
            prepare: prepare.clone(),
            init: init.clone(),
            limits: limits.clone(),
            verify: *verify,
            origin: Mutex::new(Origin::Unknown),
        };
        change(&mut recipe);
        Self::of(recipe)
    }

    /// Does something with each new store, before the module is instantiated in it: sets limits, for instance. It is to do the same
    /// each time.
    pub fn prepare(self, prepare: impl Fn(&mut Store<T>) -> Result<()> + Send + Sync + 'static) -> Self {
        self.with(|recipe| recipe.prepare = Some(Arc::new(prepare)))
    }

    /// Calls an export without parameters and results, once. What it leaves behind in the guest is where calls begin. The host's
    /// state that it used is not kept.
    pub fn init(self, export: &str) -> Self {
        self.with(|recipe| recipe.init = Some(export.into()))
    }

    /// What each sandbox may have. Time and fuel are those of a call, or of a session as a whole; while a sandbox is made, of each
    /// start function and of the initialization. Default: [`Limits::unlimited`].
    ///
    /// ```
    /// use belljar::{Engine, KillReason, Killed, Limits, Linker, Module, SandboxTemplate};
    /// use std::time::Duration;
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (func (export "spin") (loop (br 0))) (func (export "nop")))"#)?;
    /// let pre = Linker::<()>::new(&engine).instantiate_pre(&module)?;
    /// let limits = Limits::default().wall(Duration::from_millis(20));
    /// let mut sandbox = SandboxTemplate::new(pre, || Ok(())).limits(limits).build()?;
    /// let error = sandbox.call::<(), ()>("spin", ()).unwrap_err();
    /// assert_eq!(error.downcast_ref::<Killed>().unwrap().reason(), &KillReason::WallTime(Duration::from_millis(20)));
    /// sandbox.call::<(), ()>("nop", ())?;
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn limits(self, limits: Limits) -> Self {
        self.with(|recipe| recipe.limits = limits)
    }

    /// Whether each sandbox that was made clean is compared, byte by byte, with what it was. One that differs is discarded, and
    /// [`Engine::problems`](crate::Engine::problems) tells. It takes as long as reading all its memory.
    pub fn verify(self, yes: bool) -> Self {
        self.with(|recipe| recipe.verify = yes)
    }

    /// A sandbox. It takes a hundred bytes while nobody calls it.
    ///
    /// # Errors
    ///
    /// Where the module cannot be instantiated, or its initialization does not return; where it is linked with something of a
    /// store, or has a memory that others share.
    pub fn build(&self) -> Result<Sandbox<T>> {
        // So that what is wrong is told here.
        self.worlds.warm(1)?;
        Ok(Sandbox::of(self.worlds.clone()))
    }

    /// A pool of sandboxes for many threads.
    ///
    /// # Errors
    ///
    /// As [`SandboxTemplate::build`].
    pub fn pool(&self, config: PoolConfig) -> Result<SandboxPool<T>> {
        SandboxPool::new(self, config)
    }

    pub(super) fn recipe(&self) -> &Arc<Recipe<T>> {
        &self.recipe
    }
}

impl<T: 'static> Recipe<T> {
    pub(super) fn engine(&self) -> &crate::Engine {
        self.pre.module().engine()
    }

    /// The host's state for one call or session.
    pub(super) fn data(&self) -> Result<T> {
        // This may run while a panic of the host goes on.
        let made = catch_unwind(AssertUnwindSafe(|| (self.make_data)()));
        let made = made.unwrap_or_else(|_| Err(anyhow::anyhow!("the closure panicked")));
        made.context("the host's state could not be made")
    }

    /// A store with nothing but what the embedder puts into it.
    fn store(&self) -> Result<Store<T>> {
        let mut store = Store::try_new(self.engine(), self.data()?)?;
        store.set_limits(self.limits.clone())?;
        if let Some(prepare) = &self.prepare {
            prepare(&mut store)?;
        }
        Ok(store)
    }

    /// A clean world.
    pub(super) fn world(&self) -> Result<World<T>> {
        let is_of_a_store = |item: &Definition| matches!(item, Definition::Extern(_));
        anyhow::ensure!(
            !self.pre.items.iter().any(is_of_a_store),
            "a sandbox was linked with something of a store: it has a store of its own, and takes host functions only"
        );
        let origin = self.origin().clone();
        if let Origin::Shared(start) = &origin {
            if let Some(world) = self.copy(start)? {
                return Ok(world);
            }
            *self.origin() = Origin::Own;
        }
        let world = self.run()?;
        let mut origin = self.origin();
        if let Origin::Unknown = *origin {
            *origin = Origin::Shared(world.start.clone());
        }
        Ok(world)
    }

    fn origin(&self) -> std::sync::MutexGuard<'_, Origin> {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A world whose beginning has just been run.
    fn run(&self) -> Result<World<T>> {
        let mut store = self.store()?;
        let instance = self.pre.instantiate(&mut store)?;
        if let Some(init) = &self.init {
            instance.get_typed_func::<(), ()>(&mut store, init)?.call(&mut store, ())?;
        }
        let start = Arc::new(store.checkpoint()?);
        // The first session begins as those that follow: with a store that went back, whose handles of before are refused, and
        // with a state of the host's that nothing has seen.
        store.rewind(&start)?;
        *store.data_mut() = self.data()?;
        if !belljar_vm::tells_written_pages() {
            self.engine().note(String::from(
                "the kernel does not tell which pages were written (PAGEMAP_SCAN, Linux 6.7): sandboxes give all their memory back \
                 after each call, which takes longer",
            ));
        }
        Ok(World::new(store, start, instance.number()))
    }

    /// A world that begins where another did; `None` where that is not possible.
    fn copy(&self, start: &Arc<Checkpoint>) -> Result<Option<World<T>>> {
        let mut store = self.store()?;
        let instance = self.pre.link_only(&mut store, start)?;
        let is_like = store.adopt(start)?;
        if is_like && self.prepare.is_some() {
            *store.data_mut() = self.data()?;
        }
        Ok(is_like.then(|| World::new(store, start.clone(), instance.number())))
    }
}
