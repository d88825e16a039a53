//! The name section: names that the source program used. A malformed section is not an error; names are then missing. A
//! function without a name there has that of its export.

use crate::import_export::{EntityIndex, Export};
use belljar_core::{FuncIndex, GlobalIndex};
use std::collections::HashMap;
use wasmparser::{BinaryReader, Name, NameSectionReader};

/// Names of the module, its functions and its globals.
#[derive(Debug, Default)]
pub struct Names {
    module: Option<Box<str>>,
    funcs: HashMap<FuncIndex, Box<str>>,
    globals: HashMap<GlobalIndex, Box<str>>,
    /// The first names under which functions are exported, of those that the section does not name.
    exported: HashMap<FuncIndex, Box<str>>,
}

impl Names {
    pub(crate) fn read(section: &[u8], exports: &[Export]) -> Self {
        let mut names = Self::default();
        for sub in NameSectionReader::new(BinaryReader::new(section, 0)) {
            match sub {
                Ok(Name::Module { name, .. }) => names.module = Some(name.into()),
                Ok(Name::Function(map)) => {
                    names.funcs.extend(
                        map.into_iter().map_while(Result::ok).map(|n| (FuncIndex(n.index), n.name.into())),
                    );
                }
                Ok(Name::Global(map)) => {
                    names.globals.extend(
                        map.into_iter().map_while(Result::ok).map(|n| (GlobalIndex(n.index), n.name.into())),
                    );
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        for Export { name, entity } in exports {
            if let EntityIndex::Func(func) = entity
                && !name.is_empty()
                && !names.funcs.contains_key(func)
            {
                names.exported.entry(*func).or_insert_with(|| name.clone());
            }
        }
        names
    }

    /// Returns the module's own name.
    pub fn module(&self) -> Option<&str> {
        self.module.as_deref()
    }

    /// Returns a function's name as its compiler wrote it, otherwise the name of its first export. Mangled names stay
    /// mangled.
    pub fn func(&self, func: FuncIndex) -> Option<&str> {
        self.section_func(func).or_else(|| self.exported.get(&func).map(|n| &**n))
    }

    /// Returns a function's name in the name section.
    pub fn section_func(&self, func: FuncIndex) -> Option<&str> {
        self.funcs.get(&func).map(|n| &**n)
    }

    /// A global's name.
    pub fn global(&self, global: GlobalIndex) -> Option<&str> {
        self.globals.get(&global).map(|n| &**n)
    }
}
