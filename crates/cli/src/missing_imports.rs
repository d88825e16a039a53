//! Imports that nobody provides: looked for before anything is compiled, and told with what they suggest.

use crate::binary::interface::{Exports, Imports, custom_section_names};
use crate::module_file::ModuleFile;
use anyhow::Error;
use belljar::{FuncType, ImportClue, ImportClues, Linker, OutsideText, UnknownImportError, ValType};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use wasmparser::{Import, TypeRef};

/// Imports that are listed, unless all are wanted.
const MAX_LISTED: usize = 20;

/// Characters of a name or type that are shown, unless all are wanted: some modules import texts, by their names.
const MAX_CHARS: usize = 100;

/// Why a module cannot be instantiated.
pub(crate) enum ImportProblem {
    /// Imports are missing.
    Missing(MissingImports),
    /// One has another type than what is there; this says which.
    Incompatible(Error),
}

impl ImportProblem {
    /// As [`MissingImports::describe`]; the other in any case.
    pub(crate) fn describe(&self, all: bool) -> String {
        match self {
            Self::Missing(missing) => missing.describe(all),
            Self::Incompatible(error) => error.to_string(),
        }
    }
}

/// Imports that nobody provides.
pub(crate) struct MissingImports {
    imports: Vec<MissingImport>,
    /// What the module was made for.
    hint: Option<&'static str>,
}

struct MissingImport {
    module: String,
    name: String,
    ty: String,
}

/// What a module can import before it is compiled.
pub(crate) struct AvailableImports<'a, T: 'static> {
    /// Functions of the host.
    linker: &'a Linker<T>,
    /// Whether shared memories are made as they are wanted.
    shared_memories: bool,
    /// What modules export, by the name that it is imported from; `None` where that is not known before they are loaded.
    exports: HashMap<&'a str, Option<HashSet<&'a str>>>,
}

impl<'a, T> AvailableImports<'a, T> {
    /// What a host provides; with `shared_memories`, also memories as they are wanted.
    pub(crate) fn new(linker: &'a Linker<T>, shared_memories: bool) -> Self {
        Self { linker, shared_memories, exports: HashMap::new() }
    }

    /// What a module exports can be imported from then on.
    pub(crate) fn add_exports(&mut self, name: &'a str, file: &'a ModuleFile) {
        let all = self.exports.entry(name).or_insert_with(|| Some(HashSet::new()));
        match file.artifact() {
            Some(_) => *all = None,
            None => {
                all.iter_mut().for_each(|all| all.extend(Exports::read(file.bytes()).iter().map(|e| e.name)))
            }
        }
    }

    /// Looks whether a module's imports are provided. Says nothing of a file that is compiled already, or that is no valid module:
    /// whoever loads it does.
    ///
    /// # Errors
    ///
    /// What is missing, or has another type.
    pub(crate) fn check(&self, file: &ModuleFile) -> Result<(), ImportProblem> {
        let imports = Imports::read(file.bytes());
        let missing: Vec<_> = imports.iter().filter(|import| !self.has(import)).collect();
        let problem = match missing.is_empty() {
            true => imports
                .iter()
                .find_map(|i| self.check_type(&imports, i).err())
                .map(ImportProblem::Incompatible),
            false => Some(ImportProblem::Missing(MissingImports::of(&imports, &missing, file.bytes()))),
        };
        match problem {
            // What makes it invalid is told first.
            Some(problem) if file.validate(self.linker.engine()).is_ok() => Err(problem),
            _ => Ok(()),
        }
    }

    fn has(&self, import: &Import<'_>) -> bool {
        self.is_exported(import)
            || self.linker.defines(import.module, import.name)
            || self.shared_memories && matches!(import.ty, TypeRef::Memory(ty) if ty.shared)
    }

    fn is_exported(&self, import: &Import<'_>) -> bool {
        let names = self.exports.get(import.module);
        names.is_some_and(|names| names.as_ref().is_none_or(|names| names.contains(import.name)))
    }

    /// Holds functions against those of the host. Others are compared when they exist.
    fn check_type(&self, imports: &Imports<'_>, import: &Import<'_>) -> Result<(), Error> {
        if self.is_exported(import) || !self.linker.defines(import.module, import.name) {
            return Ok(());
        }
        let Some(ty) = imports.func_type(import) else { return Ok(()) };
        let numbers = |types: &[wasmparser::ValType]| types.iter().map(number).collect::<Option<Vec<_>>>();
        match (numbers(ty.params()), numbers(ty.results())) {
            (Some(params), Some(results)) => {
                let ty = FuncType::new(self.linker.engine(), params, results);
                self.linker.check_func(import.module, import.name, &ty)
            }
            _ => Ok(()),
        }
    }
}

/// The same type for the engine, if it is no reference.
fn number(ty: &wasmparser::ValType) -> Option<ValType> {
    match ty {
        wasmparser::ValType::I32 => Some(ValType::I32),
        wasmparser::ValType::I64 => Some(ValType::I64),
        wasmparser::ValType::F32 => Some(ValType::F32),
        wasmparser::ValType::F64 => Some(ValType::F64),
        wasmparser::ValType::V128 => Some(ValType::V128),
        wasmparser::ValType::Ref(_) => None,
    }
}

impl MissingImports {
    fn of(imports: &Imports<'_>, missing: &[&Import<'_>], bytes: &[u8]) -> Self {
        let arity = |import| {
            let ty = imports.func_type(import)?;
            Some((ty.params().len(), ty.results().len()))
        };
        let clues = missing.iter().map(|i| ImportClue { module: i.module, name: i.name, arity: arity(i) });
        let hint =
            ImportClues { missing: clues.collect(), custom_sections: custom_section_names(bytes) }.hint();
        let own = |import: &&Import<'_>| MissingImport {
            module: import.module.into(),
            name: import.name.into(),
            ty: imports.type_text(import),
        };
        Self { imports: missing.iter().map(own).collect(), hint }
    }

    /// All of them, or the first, with a hint.
    pub(crate) fn describe(&self, all: bool) -> String {
        let mut text = match self.imports.len() {
            1 => String::from("an import is missing:"),
            n => format!("{n} imports are missing:"),
        };
        text.push_str(&self.list(all));
        if let Some(hint) = self.hint_for_option() {
            let _ = write!(text, "\nHint: {hint}.");
        }
        text
    }

    /// What the module was made for.
    pub(crate) fn made_for(&self) -> Option<&'static str> {
        self.hint
    }

    /// One line for each, below one for each module.
    pub(crate) fn list(&self, all: bool) -> String {
        let mut modules: Vec<(&str, Vec<&MissingImport>)> = Vec::new();
        let mut places = HashMap::new();
        for import in &self.imports {
            let place = *places.entry(&*import.module).or_insert(modules.len());
            if place == modules.len() {
                modules.push((&import.module, Vec::new()));
            }
            modules[place].1.push(import);
        }
        let shown = |text: &str| if all { OutsideText::new(text).to_string() } else { shorten(text) };
        let lines_per_module =
            lines_per_module(&modules.iter().map(|(_, imports)| imports.len()).collect::<Vec<_>>(), all);
        let mut text = String::new();
        for ((module, imports), lines) in modules.iter().zip(&lines_per_module) {
            let _ = write!(text, "\n    from `{}` ({}):", shown(module), imports.len());
            for import in &imports[..*lines] {
                let _ = write!(text, "\n        {}: {}", shown(&import.name), shown(&import.ty));
            }
            if *lines < imports.len() {
                let _ = write!(text, "\n        … and {} more", imports.len() - lines);
            }
        }
        if modules.len() > lines_per_module.len() {
            let _ = write!(text, "\n    … and from {} more modules", modules.len() - lines_per_module.len());
        }
        if lines_per_module.iter().sum::<usize>() < self.imports.len() {
            text.push_str("\n    (--all-imports lists all)");
        }
        text
    }

    /// What the module was made for, or what this program has an option for.
    fn hint_for_option(&self) -> Option<String> {
        let any = |fits: fn(&MissingImport) -> bool| self.imports.iter().any(fits);
        if any(|i| i.name == "thread-spawn" && i.module.starts_with("wasi")) {
            return Some("this program starts threads (wasi-threads): run it with --threads".into());
        }
        if let Some(hint) = self.hint {
            return Some(hint.into());
        }
        if any(|i| i.module == "wasi_snapshot_preview1" || i.module == "wasi_unstable") {
            return Some(
                "this version of WASI has no such function: the module was built against another one".into(),
            );
        }
        let module = self.imports.iter().map(|i| &i.module).find(|m| !m.is_empty() && !m.contains('='))?;
        let module = OutsideText::new(&**module);
        Some(format!("if another module exports them, --preload {module}=FILE adds it"))
    }
}

impl From<&UnknownImportError> for MissingImports {
    fn from(error: &UnknownImportError) -> Self {
        let own = |(module, name, ty): (&str, &str, &belljar::ExternType)| MissingImport {
            module: module.into(),
            name: name.into(),
            ty: ty.to_string(),
        };
        Self { imports: error.missing().map(own).collect(), hint: error.hint() }
    }
}

/// How many imports of each module are listed, of modules that have so many: one of each, then one more of each, as far as there
/// are lines. Modules at the end may be left out.
fn lines_per_module(counts: &[usize], all: bool) -> Vec<usize> {
    if all {
        return counts.to_vec();
    }
    let counts = &counts[..counts.len().min(MAX_LISTED)];
    let mut lines_per_module = vec![0; counts.len()];
    let mut left = MAX_LISTED.min(counts.iter().sum());
    while left > 0 {
        for (lines, count) in lines_per_module.iter_mut().zip(counts) {
            if left > 0 && *lines < *count {
                *lines += 1;
                left -= 1;
            }
        }
    }
    lines_per_module
}

/// The beginning of a text from outside.
fn shorten(text: &str) -> String {
    let mut shown = String::new();
    let mut left = MAX_CHARS;
    for character in text.chars() {
        let printed = OutsideText::new(character.encode_utf8(&mut [0; 4])).to_string();
        match left.checked_sub(printed.chars().count()) {
            Some(less) => left = less,
            None => return shown + "…",
        }
        shown.push_str(&printed);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shared_among_modules() {
        assert_eq!(lines_per_module(&[3, 2], false), [3, 2]);
        assert_eq!(lines_per_module(&[40, 2, 0], false), [18, 2, 0]);
        assert_eq!(lines_per_module(&[40, 40, 40], false), [7, 7, 6]);
        assert_eq!(lines_per_module(&[2; 30], false), [1; MAX_LISTED]);
        assert_eq!(lines_per_module(&[40, 1], true), [40, 1]);
        assert!(lines_per_module(&[], false).is_empty());
    }

    #[test]
    fn long_names_are_cut_at_characters() {
        assert_eq!(shorten("short"), "short");
        assert_eq!(shorten(&"ä".repeat(MAX_CHARS)), "ä".repeat(MAX_CHARS));
        assert_eq!(shorten(&"ä".repeat(MAX_CHARS + 1)), "ä".repeat(MAX_CHARS) + "…");
        assert_eq!(shorten(&"\u{1b}".repeat(MAX_CHARS)), r"\u{1b}".repeat(MAX_CHARS / 6) + "…");
    }
}
