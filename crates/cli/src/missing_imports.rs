//! Checks for missing imports before compiling, and reports them with hints.

use crate::binary::interface::{Exports, Imports, custom_section_names};
use crate::module_file::ModuleFile;
use belljar::{
    Error, ExternType, FuncType, ImportClue, ImportClues, Linker, OutsideText, UnknownImportError, ValType,
    similar_name,
};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use wasmparser::{Import, TypeRef};

/// The most imports to list without `--all-imports`.
const MAX_LISTED: usize = 20;

/// The most characters of a name or type to show without `--all-imports`: some modules have whole texts as import
/// names.
const MAX_CHARS: usize = 100;

/// The reason why a module cannot be instantiated.
pub(crate) enum ImportProblem {
    /// Imports are missing.
    Missing(MissingImports),
    /// One has another type than its definition; the error says which.
    Incompatible(Error),
}

impl ImportProblem {
    /// Describes the problem; `all` is that of [`MissingImports::describe`].
    pub(crate) fn describe(&self, all: bool) -> String {
        match self {
            Self::Missing(missing) => missing.describe(all),
            Self::Incompatible(error) => error.to_string(),
        }
    }
}

/// Imports that are not defined.
pub(crate) struct MissingImports {
    imports: Vec<MissingImport>,
    /// A hint about what the module was made for.
    hint: Option<&'static str>,
}

struct MissingImport {
    module: String,
    name: String,
    ty: String,
    /// What can be imported and has a similar name, as `module::name`.
    similar: Option<String>,
}

/// What a module can import, known before anything is compiled.
pub(crate) struct AvailableImports<'a, T: 'static> {
    /// Host functions.
    linker: &'a Linker<T>,
    /// Whether imported shared memories are created on demand.
    shared_memories: bool,
    /// Exports of other modules, by the module name they are imported from; `None` if they are known only once the
    /// module is loaded.
    exports: HashMap<&'a str, Option<HashSet<&'a str>>>,
}

impl<'a, T> AvailableImports<'a, T> {
    /// Creates the set of host definitions; `shared_memories` adds any shared memory.
    pub(crate) fn new(linker: &'a Linker<T>, shared_memories: bool) -> Self {
        Self { linker, shared_memories, exports: HashMap::new() }
    }

    /// Adds the exports of a module.
    pub(crate) fn add_exports(&mut self, name: &'a str, file: &'a ModuleFile) {
        let all = self.exports.entry(name).or_insert_with(|| Some(HashSet::new()));
        match file.artifact() {
            Some(_) => *all = None,
            None => {
                all.iter_mut().for_each(|all| all.extend(Exports::read(file.bytes()).iter().map(|e| e.name)))
            }
        }
    }

    /// Checks the imports of a module. Accepts artifacts and invalid modules, which are checked when they are loaded.
    ///
    /// # Errors
    ///
    /// Returns the imports that are missing, or that have another type.
    pub(crate) fn check(&self, file: &ModuleFile) -> Result<(), ImportProblem> {
        let imports = Imports::read(file.bytes());
        let missing: Vec<_> = imports.iter().filter(|import| !self.has(import)).collect();
        let problem = match missing.is_empty() {
            true => imports
                .iter()
                .find_map(|i| self.check_type(&imports, i).err())
                .map(ImportProblem::Incompatible),
            false => {
                let similar = |import: &Import<'_>| self.similar(import);
                Some(ImportProblem::Missing(MissingImports::of(&imports, &missing, file.bytes(), similar)))
            }
        };
        match problem {
            // If the module is invalid, that is reported instead.
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

    /// Returns what can be imported and has a name similar to that of an import.
    fn similar(&self, import: &Import<'_>) -> Option<String> {
        let mut modules: Vec<&str> = self.exports.keys().copied().collect();
        modules.sort_unstable();
        let module = match self.exports.contains_key(import.module) {
            true => Some(import.module),
            false => similar_name(import.module, modules),
        };
        let exported = module.and_then(|module| {
            let names = self.exports.get(module)?.as_ref()?;
            let mut sorted: Vec<&str> = names.iter().copied().collect();
            sorted.sort_unstable();
            let name = names.get(import.name).copied().or_else(|| similar_name(import.name, sorted))?;
            Some(format!("{}::{}", OutsideText::new(module), OutsideText::new(name)))
        });
        exported.or_else(|| self.linker.similar_import(import.module, import.name))
    }

    /// Compares the type of a function import with that of the host function. Other imports are checked at
    /// instantiation.
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

/// Converts a type for the engine, unless it is a reference type.
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
    fn of(
        imports: &Imports<'_>,
        missing: &[&Import<'_>],
        bytes: &[u8],
        similar: impl Fn(&Import<'_>) -> Option<String>,
    ) -> Self {
        let arity = |import| {
            let ty = imports.func_type(import)?;
            Some((ty.params().len(), ty.results().len()))
        };
        let clues = missing.iter().map(|i| ImportClue { module: i.module, name: i.name, arity: arity(i) });
        let hint =
            ImportClues { missing: clues.collect(), custom_sections: custom_section_names(bytes) }.hint();
        let own = |(i, import): (usize, &&Import<'_>)| MissingImport {
            module: import.module.into(),
            name: import.name.into(),
            ty: imports.type_text(import),
            // Some modules lack tens of thousands of imports.
            similar: (i < MAX_LISTED).then(|| similar(import)).flatten(),
        };
        Self { imports: missing.iter().enumerate().map(own).collect(), hint }
    }

    /// Lists all missing imports, or the first ones, with a hint.
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

    /// Returns what the module was made for, if it is known.
    pub(crate) fn made_for(&self) -> Option<&'static str> {
        self.hint
    }

    /// Lists the imports, one per line, grouped by module.
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
                if let Some(similar) = &import.similar {
                    let _ = write!(text, " (did you mean `{similar}`?)");
                }
            }
            if *lines < imports.len() {
                let _ = write!(text, "\n        … and {} more", imports.len() - lines);
            }
        }
        if modules.len() > lines_per_module.len() {
            let more = match modules.len() - lines_per_module.len() {
                1 => "1 more module".into(),
                n => format!("{n} more modules"),
            };
            let _ = write!(text, "\n    … and from {more}");
        }
        if lines_per_module.iter().sum::<usize>() < self.imports.len() {
            text.push_str("\n    (--all-imports lists all)");
        }
        text
    }

    /// Returns a hint about what the module was made for, or an option that may help.
    fn hint_for_option(&self) -> Option<String> {
        let any = |fits: fn(&MissingImport) -> bool| self.imports.iter().any(fits);
        if any(|i| i.name == "thread-spawn" && i.module.starts_with("wasi")) {
            return Some("this program starts threads (wasi-threads): run it with --threads".into());
        }
        if let Some(hint) = self.hint {
            return Some(hint.into());
        }
        // It is defined already, under a similar name.
        if any(|i| i.similar.is_some()) {
            return None;
        }
        if any(|i| i.module == "wasi_snapshot_preview1" || i.module == "wasi_unstable") {
            return Some(
                "this version of WASI has no such function: the module was built for another version".into(),
            );
        }
        let module = self.imports.iter().map(|i| &i.module).find(|m| !m.is_empty() && !m.contains('='))?;
        let module = OutsideText::new(&**module);
        let what = if self.imports.len() == 1 { "it" } else { "them" };
        Some(format!("if another module exports {what}, --preload {module}=FILE adds that module"))
    }
}

impl From<&UnknownImportError> for MissingImports {
    fn from(error: &UnknownImportError) -> Self {
        let own = |((module, name, ty), similar): ((&str, &str, &ExternType), Option<&str>)| MissingImport {
            module: module.into(),
            name: name.into(),
            ty: ty.to_string(),
            similar: similar.map(Into::into),
        };
        let similar = error.similar().chain(std::iter::repeat(None));
        Self { imports: error.missing().zip(similar).map(own).collect(), hint: error.hint() }
    }
}

/// Distributes the lines among modules with these numbers of imports: one for each module, then one more for each,
/// until no line is left. Modules at the end may get none.
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

/// Returns the beginning of an untrusted text.
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
