//! Alternatives of settings: small enumerations that [`crate::Config`] takes.

/// How modules are compiled. There is one compiler, so that the choice has no effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Strategy {
    /// Whatever is best, which is [`Strategy::Cranelift`].
    #[default]
    Auto,
    /// The optimizing compiler that belljar builds on Cranelift.
    Cranelift,
}

/// How objects are collected. There is one collector, so that the choice has no effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Collector {
    /// Whatever is best, which is [`Collector::Copying`].
    #[default]
    Auto,
    /// A collector that copies young objects and compacts old ones.
    Copying,
}

/// How instances get memory. The choice has no effect: address space, memories and tables of stores that were dropped
/// are reused. For instances that are prepared in advance, see [`crate::SandboxPool`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum InstanceAllocationStrategy {
    /// When the instance is created.
    #[default]
    OnDemand,
}

/// When modules are compiled. The choice has no effect: the whole module is validated and compiled at once, so that
/// [`crate::Module::new`] reports all that is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CompilationMode {
    /// At once.
    #[default]
    Eager,
    /// In an interpreter: validated at once, and translated when a function is first called.
    LazyTranslation,
    /// In an interpreter: validated and translated when a function is first called.
    Lazy,
}

/// Whether backtraces show source files and lines, which are read from the module's DWARF when an error is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WasmBacktraceDetails {
    /// They do, if the module has DWARF.
    Enable,
    /// They do not.
    Disable,
    /// They do if the environment variable `WASMTIME_BACKTRACE_DETAILS` is `1` when the setting is made.
    Environment,
}

/// The version that compiled code is marked with. Code that is marked with another one is not loaded, even if it would
/// fit otherwise.
///
/// Whatever the version is, code is loaded only by the very build of belljar that made it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum ModuleVersionStrategy {
    /// The version of belljar.
    #[default]
    WasmtimeVersion,
    /// A text of the embedder's, of at most 255 bytes.
    Custom(String),
    /// None, and code with any version is loaded.
    None,
}

impl ModuleVersionStrategy {
    /// Returns the version: the empty text for [`ModuleVersionStrategy::None`].
    pub fn as_str(&self) -> &str {
        match self {
            Self::WasmtimeVersion => env!("CARGO_PKG_VERSION"),
            Self::Custom(version) => version,
            Self::None => "",
        }
    }
}

/// Returns the version that compiled code is marked with; `None` to accept any.
pub(crate) fn version(strategy: &ModuleVersionStrategy) -> Option<std::sync::Arc<str>> {
    (*strategy != ModuleVersionStrategy::None).then(|| strategy.as_str().into())
}
