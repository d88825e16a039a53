//! Profiles that the embedder samples itself, where it decides when.

use crate::{AsContext, CallHook, Engine, Module, Result};
use belljar_profile::{FrameId, ProfileBuilder, ProfileFormat, ProfileFrame};
use belljar_vm::{LoadedModule, RawFrame};
use belljar_watch::FrameInfo;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A profile of a guest's time whose samples the embedder takes, for instance each time the epoch deadline passes.
///
/// It can only sample a guest that waits for the host, so the samples are biased towards such moments. A
/// [`Profiler`](crate::Profiler) samples at any instruction, needs no code in the embedder, and costs less.
///
/// ```
/// use belljar::{Caller, Engine, GuestProfiler, Linker, Module, Store};
/// use std::time::Duration;
/// let engine = Engine::default();
/// let module = Module::new(
///     &engine,
///     r#"(module (import "host" "sample" (func $sample)) (func $work (export "run") (call $sample)))"#,
/// )?;
/// let modules = [(String::from("guest"), module.clone())];
/// let interval = Duration::from_millis(1);
/// let mut store = Store::new(&engine, Some(GuestProfiler::new(&engine, "guest", interval, modules)?));
/// let mut linker = Linker::new(&engine);
/// linker.func_wrap("host", "sample", |mut caller: Caller<'_, Option<GuestProfiler>>| {
///     let mut profiler = caller.data_mut().take().unwrap();
///     profiler.sample(&caller, Duration::from_millis(1));
///     *caller.data_mut() = Some(profiler);
/// })?;
/// linker.instantiate(&mut store, &module)?.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())?;
/// let mut file = Vec::new();
/// store.into_data().unwrap().finish(&mut file)?;
/// assert!(String::from_utf8(file)?.contains("work"));
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Debug)]
pub struct GuestProfiler {
    builder: ProfileBuilder,
    began: Instant,
    /// The modules with the names that they have in the profile.
    modules: Vec<(String, Arc<LoadedModule>)>,
}

impl GuestProfiler {
    /// Begins a profile. `module_name` is its title, `interval` the time between two samples, and `modules` are the
    /// modules whose functions it shows, with their names.
    ///
    /// # Errors
    ///
    /// Returns an error if a module belongs to another engine.
    pub fn new(
        engine: &Engine,
        module_name: &str,
        interval: Duration,
        modules: impl IntoIterator<Item = (String, Module)>,
    ) -> Result<Self> {
        let mut named = Vec::new();
        for (name, module) in modules {
            belljar_core::ensure!(
                Engine::same(engine, module.engine()),
                "the module `{}` belongs to another engine than the profiler",
                belljar_core::OutsideText::new(&name)
            );
            named.push((name, module.code().clone()));
        }
        let mut builder = ProfileBuilder::new(module_name, interval);
        builder.thread(0, "guest");
        Ok(Self { builder, began: Instant::now(), modules: named })
    }

    /// Adds a sample of the guest that waits for the calling host function, with the CPU time since the last one. Frames
    /// of modules that the profiler does not know are left out.
    pub fn sample(&mut self, store: impl AsContext, delta: Duration) {
        let stack = store.as_context().0.core().guest_stack();
        let mut frames: Vec<FrameId> = Vec::new();
        for frame in stack.frames() {
            self.add(frame, &mut frames);
        }
        self.builder.sample(self.began.elapsed(), 0, delta, &frames);
    }

    /// Does nothing: profiles have no marks for calls between host and guest. It exists for embedders that pass on what
    /// [`Store::call_hook`](crate::Store::call_hook) reports.
    pub fn call_hook(&mut self, _store: impl AsContext, _kind: CallHook) {}

    /// Writes the profile in the format of the Firefox profiler, which <https://profiler.firefox.com> shows.
    ///
    /// # Errors
    ///
    /// Returns an error if writing fails.
    pub fn finish(self, mut output: impl Write) -> Result<()> {
        Ok(self.builder.finish().write_to(ProfileFormat::Firefox, &mut output)?)
    }

    /// Adds the functions of a frame, innermost first.
    fn add(&mut self, frame: &RawFrame, frames: &mut Vec<FrameId>) {
        let Some(owner) = frame.module().and_then(|owner| owner.downcast::<LoadedModule>().ok()) else {
            return;
        };
        let Some((name, _)) = self.modules.iter().find(|(_, module)| Arc::ptr_eq(module, &owner)) else {
            return;
        };
        let functions = FrameInfo::of_frame(frame).unwrap_or_default();
        let outermost = functions.len().saturating_sub(1);
        for (i, function) in functions.iter().enumerate() {
            let shown = ProfileFrame::guest(&function.wasm_name()).in_module(name);
            let shown = if i < outermost { shown.inlined() } else { shown };
            frames.push(self.builder.frame(shown));
        }
    }
}
