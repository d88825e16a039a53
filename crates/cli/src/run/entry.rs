//! Selection of the function that a run calls.

use crate::binary::interface;
use belljar::{ExternType, Module, OutsideText, similar_name};
use wasmparser::ExternalKind;

/// What a run does after instantiation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// Calls a program's entry, one of [`ENTRIES`].
    Program(&'static str),
    /// Calls this function with arguments from the command line.
    Invoke(String),
    /// Calls nothing: the module consists of its start function.
    StartFunction,
}

/// The exports that make a module a program, in order of preference. The first is the default export, which some
/// compilers and Wasmtime's `Linker::get_default` use.
const ENTRIES: [&str; 2] = ["", "_start"];

/// The exports of a module, either compiled or still a binary.
trait Exports {
    fn get(&self, name: &str) -> Option<Export>;

    /// Returns the names and types of exported functions.
    fn functions(&self) -> Vec<(String, String)>;

    fn has_start_function(&self) -> bool;
}

/// An export.
enum Export {
    Func {
        ty: String,
        takes_nothing: bool,
    },
    /// Its kind, as a noun.
    Other(&'static str),
}

impl Export {
    /// Returns whether it is a function without parameters and results.
    fn takes_nothing(&self) -> bool {
        matches!(self, Self::Func { takes_nothing: true, .. })
    }

    fn describe(&self) -> String {
        match self {
            Self::Func { ty, .. } => format!("function {ty}"),
            Self::Other(kind) => (*kind).into(),
        }
    }
}

impl Exports for Module {
    fn get(&self, name: &str) -> Option<Export> {
        Some(match self.get_export(name)? {
            ExternType::Func(ty) => Export::Func {
                ty: ty.to_string(),
                takes_nothing: ty.params().len() + ty.results().len() == 0,
            },
            ExternType::Global(_) => Export::Other("global"),
            ExternType::Table(_) => Export::Other("table"),
            ExternType::Memory(_) => Export::Other("memory"),
            ExternType::Tag(_) => Export::Other("tag"),
        })
    }

    fn functions(&self) -> Vec<(String, String)> {
        let functions = self.exports().filter_map(|e| Some((e.name().into(), e.ty().func()?.to_string())));
        functions.collect()
    }

    fn has_start_function(&self) -> bool {
        Module::has_start_function(self)
    }
}

impl Exports for interface::Exports<'_> {
    fn get(&self, name: &str) -> Option<Export> {
        let export = self.iter().find(|export| export.name == name)?;
        Some(match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => {
                let types = self.func_types();
                let (ty, text) = types.get(export.index)?;
                Export::Func { ty: text, takes_nothing: ty.params().len() + ty.results().len() == 0 }
            }
            ExternalKind::Global => Export::Other("global"),
            ExternalKind::Table => Export::Other("table"),
            ExternalKind::Memory => Export::Other("memory"),
            ExternalKind::Tag => Export::Other("tag"),
        })
    }

    fn functions(&self) -> Vec<(String, String)> {
        let types = self.func_types();
        let functions =
            self.iter().filter(|e| matches!(e.kind, ExternalKind::Func | ExternalKind::FuncExact));
        functions.filter_map(|e| Some((e.name.into(), types.get(e.index)?.1))).collect()
    }

    fn has_start_function(&self) -> bool {
        self.has_start()
    }
}

/// Checks that a binary has an entry, as [`find`] does for a compiled module. An export with the right name is enough
/// here: its type is checked later.
///
/// # Errors
///
/// Returns the errors of [`find`].
pub(super) fn check_binary(binary: &[u8], invoke: Option<&str>) -> Result<(), String> {
    let exports = interface::Exports::read(binary);
    let is_entry = |name: &str| match invoke {
        Some(wanted) => name == wanted,
        None => ENTRIES.contains(&name),
    };
    let mut functions = exports.iter().filter(|export| export.kind == ExternalKind::Func);
    match functions.any(|export| is_entry(export.name)) {
        true => Ok(()),
        false => find_in(&exports, invoke).map(drop),
    }
}

/// Finds the entry among a module's exports.
///
/// # Errors
///
/// Returns a text that says what the module exports instead.
pub(super) fn find(module: &Module, invoke: Option<&str>) -> Result<Entry, String> {
    find_in(module, invoke)
}

fn find_in(module: &impl Exports, invoke: Option<&str>) -> Result<Entry, String> {
    if let Some(name) = invoke {
        let shown = OutsideText::new(name);
        return match module.get(name) {
            Some(Export::Func { .. }) => Ok(Entry::Invoke(name.into())),
            Some(other) => Err(format!(
                "`{shown}` is a {}, not a function. {}",
                other.describe(),
                list_functions(module)
            )),
            None => {
                let functions = module.functions();
                let similar = similar_name(name, functions.iter().map(|(name, _)| &**name));
                let advice =
                    similar.map(|similar| format!(": did you mean `{}`?", OutsideText::new(similar)));
                let advice = advice.unwrap_or_else(|| ".".into());
                Err(format!("nothing named `{shown}` is exported{advice} {}", list_functions(module)))
            }
        };
    }
    let is_entry = |name: &&&'static str| module.get(name).is_some_and(|export| export.takes_nothing());
    if let Some(name) = ENTRIES.iter().find(is_entry) {
        return Ok(Entry::Program(name));
    }
    match module.get("_start") {
        Some(other) => Err(format!(
            "its export `_start` is a {}, but the entry of a program is a function without parameters and results. {}",
            other.describe(),
            list_functions(module)
        )),
        None if module.get(INITIALIZE).is_some() => Err(format!(
            "it exports `_initialize` but no `_start`, so it is a library, not a program. {}",
            list_functions(module)
        )),
        None if module.has_start_function() => Ok(Entry::StartFunction),
        None => Err(format!("it exports no `_start`, so it is not a program. {}", list_functions(module))),
    }
}

/// The export that is called before any other: the initialization of a library in WASI, which programs may have as
/// well.
const INITIALIZE: &str = "_initialize";

/// Returns the function to call before the entry, if there is one.
///
/// # Errors
///
/// Returns a text that says why it cannot be called.
pub(super) fn initialization(module: &Module, entry: &Entry) -> Result<Option<&'static str>, String> {
    if matches!(entry, Entry::Invoke(name) if name == INITIALIZE) {
        return Ok(None);
    }
    match module.get(INITIALIZE) {
        Some(export) if export.takes_nothing() => Ok(Some(INITIALIZE)),
        Some(Export::Func { ty, .. }) => Err(format!(
            "its export `_initialize` is a function {ty}, but must have neither parameters nor results"
        )),
        _ => Ok(None),
    }
}

/// The most names to list.
const MAX_LISTED: usize = 20;

/// Lists the functions that could be called instead.
fn list_functions(module: &impl Exports) -> String {
    let all = module.functions();
    let others: Vec<_> = all.iter().filter(|(name, _)| name != INITIALIZE).collect();
    if others.is_empty() && !all.is_empty() {
        return "It exports no other function: --invoke _initialize calls this one".into();
    }
    if others.is_empty() {
        return "It exports no function that could be called".into();
    }
    let line = |(name, ty): &&(String, String)| match &**name {
        "" => format!("\n    \"\": {ty}"),
        name => format!("\n    {}: {ty}", OutsideText::new(name)),
    };
    let listed: String = others.iter().take(MAX_LISTED).map(line).collect();
    let more = match others.len().saturating_sub(MAX_LISTED) {
        0 => String::new(),
        n => format!("\n    … and {n} more, which `belljar inspect` lists"),
    };
    format!("Call one of these functions with --invoke NAME:{listed}{more}")
}
