//! Which function of a module a run calls.

use crate::binary::interface;
use belljar::{ExternType, Module, OutsideText};
use wasmparser::ExternalKind;

/// What a run does after instantiation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// Calls a program's entry: one of [`ENTRIES`].
    Program(&'static str),
    /// Calls this function with arguments from the command line.
    Invoke(String),
    /// Nothing: the module's start function is all there is.
    StartFunction,
}

/// The exports that make a module a program, in the order in which they are looked for. The first is the default export, by whose
/// name some compilers and Wasmtime's `Linker::get_default` know it.
const ENTRIES: [&str; 2] = ["", "_start"];

/// What a run wants to know of a module's exports: of a compiled module, or of a binary before it is compiled.
trait Exports {
    fn get(&self, name: &str) -> Option<Export>;

    /// The names and types of those that are functions.
    fn functions(&self) -> Vec<(String, String)>;

    fn has_start_function(&self) -> bool;
}

/// What an export is.
enum Export {
    Func {
        ty: String,
        takes_nothing: bool,
    },
    /// In a word.
    Other(&'static str),
}

impl Export {
    /// Whether it is a function without parameters and results.
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

/// Finds the entry of a binary that is yet to be compiled, as [`find`] does. Where there is an export of a right name, that is
/// enough: its type is looked at later.
///
/// # Errors
///
/// As there.
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

/// Finds it among a module's exports.
///
/// # Errors
///
/// A text that says what there is instead.
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
            None => Err(format!("nothing named `{shown}` is exported. {}", list_functions(module))),
        };
    }
    let is_entry = |name: &&&'static str| module.get(name).is_some_and(|export| export.takes_nothing());
    if let Some(name) = ENTRIES.iter().find(is_entry) {
        return Ok(Entry::Program(name));
    }
    match module.get("_start") {
        Some(other) => Err(format!(
            "its export `_start` is a {}, and a program's is a function without parameters and results. {}",
            other.describe(),
            list_functions(module)
        )),
        None if module.get(INITIALIZE).is_some() => Err(format!(
            "it exports `_initialize` and no `_start`, so it is a library, not a program. {}",
            list_functions(module)
        )),
        None if module.has_start_function() => Ok(Entry::StartFunction),
        None => Err(format!("it exports no `_start`, so it is not a program. {}", list_functions(module))),
    }
}

/// The export that is to be called before any other: that of a library, by WASI's rules; a program may have one, too.
const INITIALIZE: &str = "_initialize";

/// What is to be called before the entry, if anything is.
///
/// # Errors
///
/// A text that says why it cannot be called.
pub(super) fn initialization(module: &Module, entry: &Entry) -> Result<Option<&'static str>, String> {
    if matches!(entry, Entry::Invoke(name) if name == INITIALIZE) {
        return Ok(None);
    }
    match module.get(INITIALIZE) {
        Some(export) if export.takes_nothing() => Ok(Some(INITIALIZE)),
        Some(Export::Func { ty, .. }) => Err(format!(
            "its export `_initialize` is a function {ty}, and must have neither parameters nor results"
        )),
        _ => Ok(None),
    }
}

/// Names listed at most.
const MAX_LISTED: usize = 20;

/// What could be called instead.
fn list_functions(module: &impl Exports) -> String {
    let all = module.functions();
    let others: Vec<_> = all.iter().filter(|(name, _)| name != INITIALIZE).collect();
    if others.is_empty() && !all.is_empty() {
        return "It exports no other function: --invoke _initialize calls that one".into();
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
