//! The name section: names that the source program used. A malformed section is not an error; names are then missing.

use belljar_core::{FuncIndex, GlobalIndex};
use std::collections::HashMap;
use wasmparser::{BinaryReader, Name, NameSectionReader};

/// Names of the module, its functions and its globals.
#[derive(Debug, Default)]
pub struct Names {
    module: Option<Box<str>>,
    funcs: HashMap<FuncIndex, Box<str>>,
    globals: HashMap<GlobalIndex, Box<str>>,
}

impl Names {
    pub(crate) fn read(section: &[u8]) -> Self {
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
        names
    }

    /// Returns the module's own name.
    pub fn module(&self) -> Option<&str> {
        self.module.as_deref()
    }

    /// Returns a function's name as its compiler wrote it. Mangled names stay mangled.
    pub fn func(&self, func: FuncIndex) -> Option<&str> {
        self.funcs.get(&func).map(|n| &**n)
    }

    /// A global's name.
    pub fn global(&self, global: GlobalIndex) -> Option<&str> {
        self.globals.get(&global).map(|n| &**n)
    }
}
