//! What a module is, according to its imports and exports as `belljar inspect --json` lists them.

use super::usage::measure;
use anyhow::{Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// Time limit of one inspection.
const LOOK: Duration = Duration::from_secs(120);

/// The most modules of imports that are named.
const NAMED: usize = 4;

#[derive(Deserialize)]
struct Import {
    module: String,
}

#[derive(Deserialize)]
struct Export {
    name: String,
    #[serde(rename = "type")]
    ty: String,
}

/// Imports and exports of a module.
#[derive(Deserialize)]
pub(super) struct Outline {
    imports: Vec<Import>,
    exports: Vec<Export>,
}

impl Outline {
    /// Reads that of a file.
    pub(super) fn of(belljar: &Path, file: &Path, directory: &Path) -> Result<Self> {
        let words = ["inspect".into(), "--json".into(), file.display().to_string()];
        let ended = measure(belljar, &words, directory, LOOK)?;
        ensure!(ended.output.status.success(), "belljar inspect fails");
        Ok(serde_json::from_slice(&ended.output.stdout)?)
    }

    /// Returns how a host starts it.
    fn entry(&self) -> &'static str {
        let has = |name: &str| {
            self.exports.iter().any(|export| export.name == name && export.ty == "func () -> ()")
        };
        match (has(""), has("_start"), has("_initialize")) {
            (true, ..) => "entry: the default export",
            (_, true, _) => "entry: _start",
            (.., true) => "a library, _initialize",
            _ => "no entry",
        }
    }
}

/// Prints the entry, and how many imports there are from which modules.
impl fmt::Display for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut modules = BTreeMap::<&str, usize>::new();
        self.imports.iter().for_each(|import| *modules.entry(&import.module).or_default() += 1);
        let mut modules: Vec<_> = modules.into_iter().collect();
        modules.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        write!(f, "{}; {} imports", self.entry(), self.imports.len())?;
        for (i, (module, count)) in modules.iter().take(NAMED).enumerate() {
            write!(f, "{} {count} of {module:?}", if i == 0 { ":" } else { "," })?;
        }
        match modules.len().saturating_sub(NAMED) {
            0 => Ok(()),
            n => write!(f, ", and {n} more modules"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(json: &str) -> String {
        serde_json::from_str::<Outline>(json).unwrap().to_string()
    }

    #[test]
    fn the_entry_is_a_function_without_parameters() {
        let with = |exports: &str| outline(&format!(r#"{{"imports": [], "exports": [{exports}]}}"#));
        let start = r#"{"name": "_start", "type": "func () -> ()"}"#;
        let default = r#"{"name": "", "type": "func () -> ()"}"#;
        assert_eq!(with(start), "entry: _start; 0 imports");
        assert_eq!(with(&format!("{start}, {default}")), "entry: the default export; 0 imports");
        assert_eq!(with(r#"{"name": "_start", "type": "func (i32) -> ()"}"#), "no entry; 0 imports");
    }

    #[test]
    fn imports_are_counted_by_module() {
        let import = |module: &str| format!(r#"{{"module": "{module}", "name": "f"}}"#);
        let imports = ["a", "b", "b", "c", "d", "e"].map(import).join(",");
        let told = outline(&format!(r#"{{"imports": [{imports}], "exports": []}}"#));
        let expected = r#"no entry; 6 imports: 2 of "b", 1 of "a", 1 of "c", 1 of "d", and 1 more modules"#;
        assert_eq!(told, expected);
    }
}
