//! The modules of crates with their items, as `syn` parses them, with macros expanded.
//!
//! In: packages. Out: [`Sources`], in which [`Sources::resolve`] finds what a path names. Never: types. A path that only
//! type inference could resolve stays unresolved.

mod cfg;
mod expand;
mod known_macros;
mod parts;
mod reader;
mod resolve;

pub(super) use cfg::{Cfg, hold};
pub(super) use reader::{is_hidden, is_public};

use expand::MacroRules;
use std::collections::HashMap;
use std::rc::Rc;
use syn::Item;

/// Crates that refer to each other.
#[derive(Default)]
pub(super) struct Sources {
    crates: Vec<Crate>,
    modules: Vec<Module>,
    definitions: Vec<Definition>,
    impls: Vec<Impl>,
    unexpanded: Vec<Unexpanded>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct CrateId(usize);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct ModuleId(usize);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct DefinitionId(usize);

/// A crate whose sources were read.
pub(super) struct Crate {
    /// The name that Rust sources use.
    pub(super) name: String,
    pub(super) root: ModuleId,
    /// The id of its package.
    package: String,
    /// Ids of packages by the names that this crate uses for them.
    dependencies: HashMap<String, String>,
    macros: HashMap<String, Rc<MacroRules>>,
}

/// A module.
pub(super) struct Module {
    pub(super) krate: CrateId,
    parent: Option<ModuleId>,
    pub(super) names: Vec<Name>,
    pub(super) globs: Vec<Glob>,
    /// The conditions of the module and of the modules around it.
    pub(super) cfgs: Vec<Cfg>,
}

/// A name in a module.
pub(super) struct Name {
    pub(super) name: String,
    pub(super) binding: Binding,
    pub(super) access: Access,
}

/// What a name stands for.
pub(super) enum Binding {
    Definition(DefinitionId),
    Module(ModuleId),
    Use(Vec<String>),
}

/// `use path::*`
pub(super) struct Glob {
    pub(super) path: Vec<String>,
    pub(super) access: Access,
}

/// Who can use a name, and when.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) public: bool,
    /// `#[doc(hidden)]`
    pub(super) hidden: bool,
    /// The item's own conditions.
    pub(super) cfgs: Vec<Cfg>,
}

/// An item that a module defines.
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) hidden: bool,
    pub(super) item: Rc<Item>,
    /// The conditions of the item and of the modules around it.
    pub(super) cfgs: Vec<Cfg>,
}

/// An `impl` block.
pub(super) struct Impl {
    pub(super) module: ModuleId,
    pub(super) item: syn::ItemImpl,
    /// The conditions of the block and of the modules around it.
    pub(super) cfgs: Vec<Cfg>,
}

/// A macro invocation in the place of an item that was not expanded, or a module whose file is missing.
pub(super) struct Unexpanded {
    /// The path of the module.
    pub(super) module: String,
    pub(super) name: String,
    pub(super) why: String,
}

/// Names of different name spaces do not conflict.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum NameSpace {
    Type,
    Value,
    Macro,
}

/// What a path names.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Target {
    Definition(DefinitionId),
    Module(ModuleId),
    /// An item of a crate whose sources were not read.
    External(String),
}

impl Sources {
    pub(super) fn krate(&self, id: CrateId) -> &Crate {
        &self.crates[id.0]
    }

    pub(super) fn module(&self, id: ModuleId) -> &Module {
        &self.modules[id.0]
    }

    pub(super) fn definition(&self, id: DefinitionId) -> &Definition {
        &self.definitions[id.0]
    }

    /// Returns the `impl` blocks of all crates.
    pub(super) fn impls(&self) -> &[Impl] {
        &self.impls
    }

    /// Returns what could not be read.
    pub(super) fn into_unexpanded(self) -> Vec<Unexpanded> {
        self.unexpanded
    }

    /// Returns the crate of a module if the module is its root.
    pub(super) fn crate_of_root(&self, id: ModuleId) -> Option<&Crate> {
        Some(self.krate(self.module(id).krate)).filter(|krate| krate.root == id)
    }
}

impl Definition {
    pub(super) fn name_space(&self) -> NameSpace {
        match &*self.item {
            Item::Fn(_) | Item::Const(_) | Item::Static(_) => NameSpace::Value,
            Item::Macro(_) => NameSpace::Macro,
            _ => NameSpace::Type,
        }
    }
}
