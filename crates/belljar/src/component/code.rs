//! Compiled components.

use super::snapshot::Snapshot;
use crate::artifact::ArtifactError;
use crate::text::to_binary;
use crate::{Engine, Module, Origin, Result, WasmFeatures};
use belljar_component::adapters::{AdapterInstance, AdapterOptions, Adapters, MemoryShape};
use belljar_component::types::FuncType;
use belljar_component::{Component as Plan, Export, InstanceIndex, skeleton};
use belljar_core::{Context, ensure};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// A compiled component. Cloning it is cheap.
#[derive(Clone)]
pub struct Component {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    plan: Plan,
    modules: Vec<Module>,
    adapters: Vec<AdapterInstance>,
    adapter_modules: Vec<Module>,
    /// The instances that can keep values with their calls.
    keeping: HashSet<InstanceIndex>,
    /// The component without its core code: see [`skeleton`].
    skeleton: Box<[u8]>,
    /// Identifies the component and its compiler.
    key: [u8; 32],
    limit: usize,
    /// The state that its instances start in, if they do not start anew.
    snapshot: Option<Snapshot>,
}

/// What an artifact of a component has.
pub(super) struct Parts<'a> {
    pub(super) modules: &'a [Module],
    pub(super) adapter_modules: &'a [Module],
    pub(super) skeleton: &'a [u8],
    pub(super) key: &'a [u8; 32],
    /// The most bytes of adapters that it may have.
    pub(super) limit: usize,
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component").finish_non_exhaustive()
    }
}

/// Returns what components may use: of core code what modules may, and of the component model what the configuration says.
pub(super) fn features(engine: &Engine) -> WasmFeatures {
    engine.get_wasm_features() | engine.config().component_features
}

/// The most bytes of code that the adapters of a component have, and how many more for each byte of the component. Most have
/// a tenth of that. Where they would have more, calls lift values and lower them again.
const ADAPTER_BYTES: usize = 256 << 10;
const ADAPTER_FACTOR: usize = 16;

/// Returns what adapters use of WebAssembly, whatever the engine's modules may use.
pub(super) fn adapter_features() -> WasmFeatures {
    WasmFeatures::BULK_MEMORY
        | WasmFeatures::CUSTOM_PAGE_SIZES
        | WasmFeatures::MEMORY64
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SIGN_EXTENSION
}

/// Returns what a memory is like that a module exports.
fn memory_shape(module: &Module, name: &str) -> Option<MemoryShape> {
    let ty = module.get_export(name)?;
    let ty = ty.memory()?;
    Some(MemoryShape {
        is_64: ty.is_64(),
        page_size_log2: u32::from(ty.page_size_log2()),
        is_shared: ty.is_shared(),
    })
}

/// Adds adapters to a plan. The same plan always gets the same ones.
fn add_adapters(engine: &Engine, plan: &mut Plan, modules: &[Module], limit: usize) -> Adapters {
    plan.add_adapters(&AdapterOptions {
        memory: &|module, name| memory_shape(&modules[module.index()], name),
        exceptions: engine.get_wasm_features().contains(WasmFeatures::EXCEPTIONS),
        limit,
    })
}

impl Component {
    /// Compiles a component from its binary, or with the feature `wat` from its text.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not a valid component, or cannot be compiled.
    pub fn new(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        Self::from_binary(engine, &to_binary(bytes.as_ref(), None)?)
    }

    /// Compiles a component from a file with its binary, or with the feature `wat` its text.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, is not a valid component, or cannot be compiled.
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let context = || format!("{}", belljar_core::OutsideText::new(path));
        let bytes = std::fs::read(path).with_context(context)?;
        Self::from_binary(engine, &to_binary(&bytes, Some(path))?).with_context(context)
    }

    /// Compiles a component from its binary.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not a valid component, or cannot be compiled.
    pub fn from_binary(engine: &Engine, binary: &[u8]) -> Result<Self> {
        Self::with_adapters(engine, binary, ADAPTER_BYTES + ADAPTER_FACTOR * binary.len())
    }

    /// Compiles a component as [`Component::from_binary`] does, without adapters: calls between its parts lift values and
    /// lower them again.
    #[doc(hidden)]
    pub fn without_adapters(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        Self::with_adapters(engine, &to_binary(bytes.as_ref(), None)?, 0)
    }

    /// Compiles a component with at most so many bytes of adapters.
    fn with_adapters(engine: &Engine, binary: &[u8], limit: usize) -> Result<Self> {
        let mut plan = Plan::new(binary, features(engine))?;
        let modules = plan.modules.iter().enumerate().map(|(i, bytes)| {
            Module::from_binary(engine, &binary[bytes.clone()])
                .with_context(|| format!("core module {i} of the component"))
        });
        let modules = modules.collect::<Result<Vec<_>>>()?;
        let adapters = add_adapters(engine, &mut plan, &modules, limit);
        let adapter_modules = adapters.modules.into_iter().map(|wasm| {
            Module::of_own(engine, wasm.into(), adapter_features()).context("the adapters of the component")
        });
        let inner = Inner {
            engine: engine.clone(),
            keeping: plan.keeping(),
            plan,
            adapters: adapters.instances,
            adapter_modules: adapter_modules.collect::<Result<_>>()?,
            modules,
            skeleton: skeleton(binary)?.into(),
            key: engine.settings().key(binary),
            limit,
            snapshot: None,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Puts a component together again whose modules were loaded.
    pub(super) fn of_parts(
        engine: &Engine,
        skeleton: Box<[u8]>,
        (key, limit): ([u8; 32], usize),
        modules: Vec<Module>,
        snapshot: Option<Snapshot>,
        load_adapter: impl Fn(usize) -> Result<Module>,
    ) -> Result<Self> {
        let mut plan = Plan::new(&skeleton, features(engine))?;
        ensure!(plan.modules.len() == modules.len(), "belljar bug: the compiled component has other modules");
        let adapters = add_adapters(engine, &mut plan, &modules, limit);
        // Then adapters of this version of belljar fit the modules.
        let is_compiled_again =
            modules.iter().any(|module| matches!(module.origin(), Origin::CompiledAgain(_)));
        if snapshot.is_some() && is_compiled_again {
            // Its state is that of other code.
            return Err(ArtifactError::Settings(
                "it is a snapshot, and was made for another processor".into(),
            )
            .into());
        }
        let adapter_modules =
            adapters.modules.into_iter().enumerate().map(|(index, wasm)| match is_compiled_again {
                true => Module::of_own(engine, wasm.into(), adapter_features()),
                false => load_adapter(index),
            });
        let adapter_modules = adapter_modules.collect::<Result<_>>()?;
        let engine = engine.clone();
        let adapters = adapters.instances;
        let keeping = plan.keeping();
        let inner = Inner {
            engine,
            plan,
            modules,
            adapters,
            adapter_modules,
            keeping,
            skeleton,
            key,
            limit,
            snapshot,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the state that its instances start in, if they do not start anew.
    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.inner.snapshot.as_ref()
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        let Inner { modules, adapter_modules, skeleton, key, limit, .. } = &*self.inner;
        Parts { modules, adapter_modules, skeleton, key, limit: *limit }
    }

    /// Returns whether an instance can keep values with its calls.
    pub(crate) fn keeps(&self, instance: InstanceIndex) -> bool {
        self.inner.keeping.contains(&instance)
    }

    /// Returns an instance of adapters with its module.
    pub(crate) fn adapter(&self, index: usize) -> Option<(&AdapterInstance, &Module)> {
        let adapter = self.inner.adapters.get(index)?;
        Some((adapter, self.inner.adapter_modules.get(adapter.module)?))
    }

    /// Returns its engine.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// Returns the functions that an instance exports: the names on the way to each, as
    /// [`Instance::get_func_at`](super::Instance::get_func_at) takes them, and its type.
    ///
    /// ```
    /// use belljar::component::Component;
    /// let engine = belljar::Engine::default();
    /// let component = Component::new(&engine, r#"(component
    ///     (core module $m (func (export "f")))
    ///     (core instance $m (instantiate $m))
    ///     (func $f (canon lift (core func $m "f")))
    ///     (instance (export "a:b/c@1.0.0") (export "f" (func $f))))"#)?;
    /// let all: Vec<_> = component.exported_funcs().collect();
    /// assert_eq!(all[0].0, ["a:b/c@1.0.0", "f"]);
    /// assert_eq!(all[0].1.to_string(), "func()");
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn exported_funcs(&self) -> impl Iterator<Item = (Vec<&str>, &Arc<FuncType>)> {
        let plan = self.plan();
        let mut all = Vec::new();
        let mut left = vec![(Vec::new(), &*plan.exports)];
        while let Some((way, exports)) = left.pop() {
            for (name, export) in exports {
                let path = || way.iter().copied().chain([&**name]).collect::<Vec<&str>>();
                match export {
                    Export::Func(func) => all.push((path(), &plan.funcs[func.index()].ty)),
                    Export::Instance(exports) => left.push((path(), exports)),
                    Export::Type(_) | Export::Resource(_) | Export::Module(_) | Export::Other => {}
                }
            }
        }
        all.into_iter()
    }

    /// Returns whether it is this very component, and not only one of the same bytes.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.inner.plan
    }

    pub(crate) fn module(&self, index: belljar_component::ModuleIndex) -> &Module {
        &self.inner.modules[index.index()]
    }
}
