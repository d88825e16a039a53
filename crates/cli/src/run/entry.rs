//! Which function of a module a run calls.

use belljar::{ExternType, Module, OutsideText};

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

/// Finds it among a module's exports.
///
/// # Errors
///
/// A text that says what there is instead.
pub(super) fn find(module: &Module, invoke: Option<&str>) -> Result<Entry, String> {
    if let Some(name) = invoke {
        let shown = OutsideText::new(name);
        return match module.get_export(name) {
            Some(ExternType::Func(_)) => Ok(Entry::Invoke(name.into())),
            Some(other) => {
                Err(format!("`{shown}` is a {}, not a function. {}", kind(&other), functions(module)))
            }
            None => Err(format!("nothing named `{shown}` is exported. {}", functions(module))),
        };
    }
    if let Some(name) =
        ENTRIES.iter().find(|name| module.get_export(name).as_ref().is_some_and(takes_nothing))
    {
        return Ok(Entry::Program(name));
    }
    match module.get_export("_start") {
        Some(other) => Err(format!(
            "its export `_start` is a {}, and a program's is a function without parameters and results. {}",
            kind(&other),
            functions(module)
        )),
        None if module.get_export(INITIALIZE).is_some() => Err(format!(
            "it exports `_initialize` and no `_start`, so it is a library, not a program. {}",
            functions(module)
        )),
        None if module.has_start_function() => Ok(Entry::StartFunction),
        None => Err(format!("it exports no `_start`, so it is not a program. {}", functions(module))),
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
    match module.get_export(INITIALIZE) {
        Some(ty) if takes_nothing(&ty) => Ok(Some(INITIALIZE)),
        Some(ExternType::Func(ty)) => Err(format!(
            "its export `_initialize` is a function {ty}, and must have neither parameters nor results"
        )),
        _ => Ok(None),
    }
}

/// Whether it is a function without parameters and results.
fn takes_nothing(ty: &ExternType) -> bool {
    matches!(ty, ExternType::Func(ty) if ty.params().len() + ty.results().len() == 0)
}

/// What an export is, in words.
fn kind(ty: &ExternType) -> String {
    match ty {
        ExternType::Func(ty) => format!("function {ty}"),
        ExternType::Global(_) => "global".into(),
        ExternType::Table(_) => "table".into(),
        ExternType::Memory(_) => "memory".into(),
        ExternType::Tag(_) => "tag".into(),
    }
}

/// Names listed at most.
const LISTED: usize = 20;

/// What could be called instead.
fn functions(module: &Module) -> String {
    let functions: Vec<String> = module
        .exports()
        .filter(|e| e.name() != INITIALIZE)
        .filter_map(|e| Some(format!("\n    {}: {}", OutsideText::new(e.name()), e.ty().func()?)))
        .collect();
    if functions.is_empty() && module.get_export(INITIALIZE).is_some_and(|ty| ty.func().is_some()) {
        return "It exports no other function: --invoke _initialize calls that one".into();
    }
    if functions.is_empty() {
        return "It exports no function that could be called".into();
    }
    let listed = functions.iter().take(LISTED).map(String::as_str).collect::<String>();
    let more = match functions.len().saturating_sub(LISTED) {
        0 => String::new(),
        n => format!("\n    … and {n} more, which `belljar inspect` lists"),
    };
    format!("Call one of these functions with --invoke NAME:{listed}{more}")
}
