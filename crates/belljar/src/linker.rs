//! Linkers, which look up a module's imports by name.

use crate::definition::Definition;
use crate::func_call::dynamic;
use crate::{
    AsContext, AsContextMut, Caller, Engine, Error, Extern, ExternType, Func, FuncType, ImportClue,
    ImportClues, ImportType, Instance, InstancePre, IntoFunc, Module, Result, Trap, Val, ValType,
};
use belljar_core::{Context, OutsideText, ensure, similar_name};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// A set of definitions, each with a module name and a field name, to instantiate modules with. Host functions that are
/// defined here belong to no store: one linker serves any number of stores with data of type `T`.
///
/// ```
/// use belljar::{Engine, Linker, Module, Store};
/// let engine = Engine::default();
/// let mut linker = Linker::new(&engine);
/// linker.func_wrap("host", "double", |x: i32| x * 2)?;
/// let module = Module::new(&engine, r#"(module
///     (import "host" "double" (func $double (param i32) (result i32)))
///     (func (export "run") (result i32) (call $double (i32.const 21))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = linker.instantiate(&mut store, &module)?;
/// assert_eq!(instance.get_typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ())?, 42);
/// # Ok::<(), belljar::Error>(())
/// ```
pub struct Linker<T: 'static> {
    engine: Engine,
    definitions: HashMap<Arc<str>, HashMap<Arc<str>, Definition>>,
    allow_shadowing: bool,
    allow_unknown_exports: bool,
    data: PhantomData<fn() -> T>,
}

impl<T: 'static> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            definitions: self.definitions.clone(),
            allow_shadowing: self.allow_shadowing,
            allow_unknown_exports: self.allow_unknown_exports,
            data: PhantomData,
        }
    }
}

impl<T: 'static> Default for Linker<T> {
    /// Creates a linker for a new engine with the default configuration: see [`Linker::engine`].
    ///
    /// # Panics
    ///
    /// Panics as `Engine::default` does.
    fn default() -> Self {
        Self::new(&Engine::default())
    }
}

impl<T: 'static> fmt::Debug for Linker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.definitions.iter().flat_map(|(m, names)| names.keys().map(move |n| (m, n)));
        f.debug_list().entries(names).finish()
    }
}

/// The two names of an import, displayed as `module::name`.
pub(crate) struct ImportName<'a>(pub(crate) &'a str, pub(crate) &'a str);

impl fmt::Display for ImportName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", OutsideText::new(self.0), OutsideText::new(self.1))
    }
}

/// The most imports that an error lists: some modules have tens of thousands.
const MOST_LISTED: usize = 20;

/// The imports of a module that a linker does not define, with their types.
#[derive(Clone, Debug)]
pub struct UnknownImportError {
    missing: Vec<(String, String, ExternType)>,
    /// Definitions with similar names, of the first of them.
    similar: Vec<Option<String>>,
    hint: Option<&'static str>,
}

impl UnknownImportError {
    fn new<T>(missing: Vec<(String, String, ExternType)>, module: &Module, linker: &Linker<T>) -> Self {
        let listed = missing.iter().take(MOST_LISTED);
        let similar = listed.map(|(module, name, _)| linker.similar_import(module, name)).collect();
        let clues = missing.iter().map(|(module, name, ty)| {
            let arity = ty.func().map(|ty| (ty.params().len(), ty.results().len()));
            ImportClue { module, name, arity }
        });
        let custom_sections = module.custom_section_names().collect();
        let hint = ImportClues { missing: clues.collect(), custom_sections }.hint();
        Self { missing, similar, hint }
    }

    /// Returns the module name of the first missing import.
    pub fn module(&self) -> &str {
        &self.missing[0].0
    }

    /// Returns the field name of the first missing import.
    pub fn name(&self) -> &str {
        &self.missing[0].1
    }

    /// Returns the type of the first missing import.
    pub fn ty(&self) -> ExternType {
        self.missing[0].2.clone()
    }

    /// Returns all missing imports: module name, field name, type.
    pub fn missing(&self) -> impl ExactSizeIterator<Item = (&str, &str, &ExternType)> {
        self.missing.iter().map(|(m, n, ty)| (&**m, &**n, ty))
    }

    /// Returns the definitions, if there are any, whose names are similar to those of the first missing imports.
    #[doc(hidden)]
    pub fn similar(&self) -> impl Iterator<Item = Option<&str>> {
        self.similar.iter().map(Option::as_deref)
    }

    /// Returns a hint about the environment that the module was built for, as [`ImportClues::hint`] does.
    pub fn hint(&self) -> Option<&'static str> {
        self.hint
    }
}

impl fmt::Display for UnknownImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.missing {
            [(m, n, ty)] => {
                write!(f, "unknown import: `{}` ({ty}) has not been defined", ImportName(m, n))?;
                if let Some(similar) = &self.similar[0] {
                    write!(f, ": did you mean `{similar}`, which is defined?")?;
                }
            }
            many => {
                write!(f, "{} unknown imports have not been defined:", many.len())?;
                for ((m, n, ty), similar) in many.iter().zip(&self.similar) {
                    write!(f, "\n    {}: {ty}", ImportName(m, n))?;
                    if let Some(similar) = similar {
                        write!(f, " (did you mean `{similar}`?)")?;
                    }
                }
                if many.len() > MOST_LISTED {
                    write!(f, "\n    … and {} more", many.len() - MOST_LISTED)?;
                }
            }
        }
        match self.hint {
            Some(hint) => write!(f, "\n{hint}"),
            None if self.missing.iter().any(|(module, ..)| module.starts_with("wasi_")) => {
                f.write_str("\nthese are WASI functions: define them with `belljar_wasi::p1::add_to_linker`")
            }
            None if self.similar.iter().all(Option::is_none) => f.write_str(
                "\nLinker::func_wrap defines a host function, Linker::instance the exports of another instance",
            ),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UnknownImportError {}

impl<T: 'static> Linker<T> {
    /// Creates a linker without definitions.
    pub fn new(engine: &Engine) -> Self {
        Self {
            engine: engine.clone(),
            definitions: HashMap::new(),
            allow_shadowing: false,
            allow_unknown_exports: false,
            data: PhantomData,
        }
    }

    /// Returns the linker's engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Sets whether a definition may replace an earlier one of the same name. Default: no.
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Self {
        self.allow_shadowing = allow;
        self
    }

    /// Sets whether [`Linker::module`] accepts a command that exports other items than functions and those that linkers
    /// add (`memory`, names that begin with `__`). They are not defined in any case, since each call of a command
    /// creates another instance. Default: no.
    pub fn allow_unknown_exports(&mut self, allow: bool) -> &mut Self {
        self.allow_unknown_exports = allow;
        self
    }

    fn insert(&mut self, module: &str, name: &str, definition: Definition) -> Result<&mut Self> {
        let names = match self.definitions.get_mut(module) {
            Some(names) => names,
            None => self.definitions.entry(module.into()).or_default(),
        };
        match names.entry(name.into()) {
            Entry::Occupied(_) if !self.allow_shadowing => {
                let name = ImportName(module, name);
                belljar_core::bail!("`{name}` is already defined: use allow_shadowing(true) to replace it")
            }
            Entry::Occupied(mut old) => {
                old.insert(definition);
            }
            Entry::Vacant(place) => {
                place.insert(definition);
            }
        }
        Ok(self)
    }

    fn find(&self, module: &str, name: &str) -> Option<&Definition> {
        self.definitions.get(module)?.get(name)
    }

    /// Returns the definition whose name is most similar to that of an import, as `module::name` for a message.
    #[doc(hidden)]
    pub fn similar_import(&self, module: &str, name: &str) -> Option<String> {
        let (module, name) = match self.definitions.get_key_value(module) {
            Some((module, names)) => (&**module, similar_name(name, sorted(names))?),
            None => {
                let module = similar_name(module, sorted(&self.definitions))?;
                let (names, own) = (&self.definitions[module], self.definitions[module].get_key_value(name));
                (module, own.map_or_else(|| similar_name(name, sorted(names)), |(name, _)| Some(&**name))?)
            }
        };
        Some(ImportName(module, name).to_string())
    }

    /// Defines an item of a store.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is already defined.
    pub fn define(
        &mut self,
        _store: impl AsContext<Data = T>,
        module: &str,
        name: &str,
        item: impl Into<Extern>,
    ) -> Result<&mut Self> {
        self.insert(module, name, Definition::Extern(item.into()))
    }

    /// Defines a host function whose type is known at run time: see [`Func::new`].
    ///
    /// # Errors
    ///
    /// Returns an error if the name is already defined.
    pub fn func_new(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<&mut Self> {
        let host = dynamic(&self.engine, ty, func)?;
        host.set_name(module, name);
        self.insert(module, name, Definition::Host(host))
    }

    /// Defines a host function from a closure: see [`Func::wrap`].
    ///
    /// # Errors
    ///
    /// Returns an error if the name is already defined.
    pub fn func_wrap<Params, Results>(
        &mut self,
        module: &str,
        name: &str,
        func: impl IntoFunc<T, Params, Results>,
    ) -> Result<&mut Self> {
        let host = func.into_host_func(self.engine.runtime())?;
        host.set_name(module, name);
        self.insert(module, name, Definition::Host(host))
    }

    /// Defines all exports of an instance under a module name.
    ///
    /// # Errors
    ///
    /// Returns an error if one of the names is already defined.
    pub fn instance(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module_name: &str,
        instance: Instance,
    ) -> Result<&mut Self> {
        let store = store.as_context_mut();
        let exports: Vec<_> =
            instance.exports(&store).map(|e| (e.name().to_string(), e.into_extern())).collect();
        for (name, item) in exports {
            self.insert(module_name, &name, Definition::Extern(item))?;
        }
        Ok(self)
    }

    /// Instantiates a module and defines its exports under a module name. If the module exports `_initialize`, as a
    /// WASI reactor does, that function is called first. A command (a module with `_start`) is instantiated again for
    /// each call of an export.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Linker::instantiate`] does, or if one of the names is already defined.
    pub fn module(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module_name: &str,
        module: &Module,
    ) -> Result<&mut Self> {
        if module.get_export("_start").is_some() {
            return self.command(module_name, module);
        }
        let mut store = store.as_context_mut();
        let instance = self.instantiate(&mut store, module)?;
        initialize(&mut store, instance)?;
        self.instance(store, module_name, instance)
    }

    fn command(&mut self, module_name: &str, module: &Module) -> Result<&mut Self> {
        for export in module.exports() {
            let ExternType::Func(ty) = export.ty() else {
                ensure!(
                    self.allow_unknown_exports || is_added_by_linkers(export.name()),
                    "the command exports the {} `{}`, which cannot be defined: each call of a command creates another \
                     instance. Ignore it with allow_unknown_exports(true)",
                    export.ty(),
                    OutsideText::new(export.name())
                );
                continue;
            };
            let (module, linker) = (module.clone(), self.clone());
            let name = export.name().to_string();
            self.func_new(module_name, export.name(), ty, move |mut caller, params, results| {
                let instance = linker.instantiate(&mut caller, &module)?;
                if name != INITIALIZE {
                    initialize(&mut caller, instance)?;
                }
                let func =
                    instance.get_func(&mut caller, &name).context("a module's exports do not change")?;
                func.call(&mut caller, params, results)
            })?;
        }
        Ok(self)
    }

    /// Defines `as_module::as_name` as an alias of `module::name`.
    ///
    /// # Errors
    ///
    /// Returns an error if `module::name` is not defined, or if the new name is already defined.
    pub fn alias(&mut self, module: &str, name: &str, as_module: &str, as_name: &str) -> Result<&mut Self> {
        let definition = self.find(module, name).cloned();
        let definition =
            definition.with_context(|| format!("`{}` is not defined", ImportName(module, name)))?;
        self.insert(as_module, as_name, definition)
    }

    /// Defines all names of the module name `module` under the module name `as_module` as well.
    ///
    /// # Errors
    ///
    /// Returns an error if nothing is defined under `module`, or if one of the new names is already defined.
    pub fn alias_module(&mut self, module: &str, as_module: &str) -> Result<&mut Self> {
        let names = self.definitions.get(module).cloned();
        let nothing = || format!("nothing is defined under `{}`", OutsideText::new(module));
        for (name, definition) in names.with_context(nothing)? {
            self.insert(as_module, &name, definition)?;
        }
        Ok(self)
    }

    /// Defines each function that a module imports and this linker lacks as a function that traps with
    /// [`Trap::UnknownImport`] and an error that names the import.
    ///
    /// # Errors
    ///
    /// Returns an error if an import that is not defined is not a function.
    pub fn define_unknown_imports_as_traps(&mut self, module: &Module) -> Result<()> {
        for import in module.imports() {
            if self.find(import.module(), import.name()).is_some() {
                continue;
            }
            let ExternType::Func(ty) = import.ty() else {
                belljar_core::bail!(
                    "`{}` is not defined and is a {}: only functions can be defined as traps",
                    ImportName(import.module(), import.name()),
                    import.ty()
                );
            };
            let name = ImportName(import.module(), import.name());
            let what = format!("unknown import: `{name}` has not been defined");
            self.func_new(import.module(), import.name(), ty, move |_, _, _| {
                Err(Error::new(Trap::UnknownImport).context(what.clone()))
            })?;
        }
        Ok(())
    }

    /// Defines each import of a module that this linker lacks as an item with a default value: see
    /// [`ExternType::default_value`].
    ///
    /// # Errors
    ///
    /// Returns an error if an import has no default value, or if it cannot be created.
    pub fn define_unknown_imports_as_default_values(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<()> {
        let mut store = store.as_context_mut();
        for import in module.imports() {
            if self.find(import.module(), import.name()).is_none() {
                let item = import.ty().default_value(&mut store).with_context(|| {
                    format!("`{}` is not defined", ImportName(import.module(), import.name()))
                })?;
                self.insert(import.module(), import.name(), Definition::Extern(item))?;
            }
        }
        Ok(())
    }

    /// Looks up the definitions of a module's imports, once for any number of instances.
    ///
    /// # Errors
    ///
    /// Returns an [`UnknownImportError`] with all missing imports, or an error if the type of a host function differs
    /// from that of the import.
    pub fn instantiate_pre(&self, module: &Module) -> Result<InstancePre<T>> {
        belljar_core::ensure!(
            Engine::same(&self.engine, module.engine()),
            "the module and the linker belong to different engines: create both with the same Engine"
        );
        let mut items = Vec::with_capacity(module.imports().len());
        let mut missing = Vec::new();
        for import in module.imports() {
            match self.find(import.module(), import.name()) {
                Some(definition) => {
                    let name = ImportName(import.module(), import.name());
                    check_type(definition, name, &import.ty(), &self.engine)?;
                    items.push(definition.clone());
                }
                None => missing.push((import.module().into(), import.name().into(), import.ty())),
            }
        }
        if !missing.is_empty() {
            return Err(UnknownImportError::new(missing, module, self).into());
        }
        Ok(InstancePre { module: module.clone(), items: items.into(), data: PhantomData })
    }

    /// Creates an instance with imports from this linker, and runs its start function.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Linker::instantiate_pre`] and [`Instance::new`] do.
    pub fn instantiate(&self, store: impl AsContextMut<Data = T>, module: &Module) -> Result<Instance> {
        self.instantiate_pre(module)?.instantiate(store)
    }

    /// Creates an instance as [`Linker::instantiate`] does, which runs the start function, too.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Linker::instantiate`] does.
    pub fn instantiate_and_start(
        &self,
        store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<Instance> {
        self.instantiate(store, module)
    }

    /// Returns the function that a module name stands for when it is called: the definition with an empty name, or else
    /// `_start`, or else a function that does nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if that definition is not a function.
    pub fn get_default(&self, mut store: impl AsContextMut<Data = T>, module: &str) -> Result<Func> {
        let mut store = store.as_context_mut();
        for name in ["", "_start"] {
            if let Some(item) = self.get(&mut store, module, name) {
                let ty = item.ty(&store);
                return item.into_func().with_context(|| {
                    format!(
                        "`{}` is a {ty}, but the default of a module is a function",
                        ImportName(module, name)
                    )
                });
            }
        }
        Func::try_wrap(store, || {})
    }

    /// Returns the definition of an import, as an item of the store.
    pub fn get_by_import(
        &self,
        store: impl AsContextMut<Data = T>,
        import: &ImportType<'_>,
    ) -> Option<Extern> {
        self.get(store, import.module(), import.name())
    }

    /// Returns the definition of an import, as an item of the store.
    ///
    /// # Errors
    ///
    /// Returns an error if the store has no room for another host function.
    pub fn try_get_by_import(
        &self,
        store: impl AsContextMut<Data = T>,
        import: &ImportType<'_>,
    ) -> Result<Option<Extern>> {
        self.try_get(store, import.module(), import.name())
    }

    /// Returns the definition of a name, as an item of the store.
    pub fn get(&self, store: impl AsContextMut<Data = T>, module: &str, name: &str) -> Option<Extern> {
        self.try_get(store, module, name).ok()?
    }

    /// Returns the definition of a name, as an item of the store.
    ///
    /// # Errors
    ///
    /// Returns an error if the store has no room for another host function.
    pub fn try_get(
        &self,
        mut store: impl AsContextMut<Data = T>,
        module: &str,
        name: &str,
    ) -> Result<Option<Extern>> {
        Ok(match self.find(module, name) {
            None => None,
            Some(Definition::Extern(item)) => Some(item.clone()),
            Some(Definition::Host(host)) => {
                let core = store.as_context_mut().0.core_mut();
                let id = core.new_host_func(host, None)?;
                Some(Extern::Func(Func::from_id(core.id(), id)))
            }
        })
    }

    /// Returns whether a name is defined.
    pub fn defines(&self, module: &str, name: &str) -> bool {
        self.find(module, name).is_some()
    }

    /// Checks the type of a function import against the host function of its name, before a module is compiled.
    /// Definitions that belong to a store are checked only at instantiation.
    ///
    /// # Errors
    ///
    /// Returns an error if the types differ.
    pub fn check_func(&self, module: &str, name: &str, ty: &FuncType) -> Result<()> {
        let Some(definition) = self.find(module, name) else { return Ok(()) };
        check_type(definition, ImportName(module, name), &ExternType::Func(ty.clone()), &self.engine)
    }

    /// Returns all definitions in arbitrary order: module name, field name, and the item in the store.
    pub fn iter<'a>(
        &'a self,
        mut store: impl AsContextMut<Data = T> + 'a,
    ) -> impl Iterator<Item = (&'a str, &'a str, Extern)> + 'a {
        let names = self.definitions.iter().flat_map(|(m, names)| names.keys().map(move |n| (&**m, &**n)));
        names.filter_map(move |(m, n)| self.get(&mut store, m, n).map(|item| (m, n, item)))
    }
}

/// Returns whether toolchains export an item of this name from commands, which nobody imports.
fn is_added_by_linkers(name: &str) -> bool {
    name == "memory" || name.starts_with("__")
}

/// Returns the keys in their order, so that messages do not depend on hashes.
fn sorted<V>(map: &HashMap<Arc<str>, V>) -> Vec<&str> {
    let mut keys: Vec<&str> = map.keys().map(|key| &**key).collect();
    keys.sort_unstable();
    keys
}

/// The export that is called before any other.
const INITIALIZE: &str = "_initialize";

/// Calls `_initialize`, if the instance exports it.
fn initialize(mut store: impl AsContextMut, instance: Instance) -> Result<()> {
    let mut store = store.as_context_mut();
    let Some(Extern::Func(initialize)) = instance.get_export(&mut store, INITIALIZE) else { return Ok(()) };
    let initialize = initialize.typed::<(), ()>(&store).context("`_initialize` has the wrong type")?;
    initialize.call(&mut store, ()).context("`_initialize` failed")
}

/// Checks the type of a host function. Other definitions are checked when the store is known.
fn check_type(
    definition: &Definition,
    name: ImportName<'_>,
    wanted: &ExternType,
    engine: &Engine,
) -> Result<()> {
    let Definition::Host(host) = definition else { return Ok(()) };
    let found = FuncType::from_core(host.ty(), engine);
    let note = match wanted {
        ExternType::Func(wanted) if *wanted == found => return Ok(()),
        ExternType::Func(wanted) if splits_i64(wanted, &found) => SPLITS_I64,
        _ => "",
    };
    belljar_core::bail!(
        "incompatible import type for `{name}`: the module wants {wanted}, and the definition is func {found}{note}"
    )
}

/// The hint for an import that splits 64-bit integers.
const SPLITS_I64: &str =
    ": the module passes each i64 as two i32, as Emscripten does for JavaScript: build with -sWASM_BIGINT";

/// Returns whether `ty` is `whole` with each 64-bit parameter split into two of 32 bits.
fn splits_i64(ty: &FuncType, whole: &FuncType) -> bool {
    let mut params = Vec::new();
    for param in whole.params() {
        match param {
            ValType::I64 => params.extend([ValType::I32, ValType::I32]),
            other => params.push(other),
        }
    }
    ty.params().eq(params) && ty.results().eq(whole.results())
}
