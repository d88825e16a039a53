//! Reads the files of a crate: follows `mod` declarations, expands macros in the place of items, and enters names,
//! definitions and `impl` blocks.

use super::expand::MacroRules;
use super::parts::Part;
use super::{
    Access, Binding, Cfg, Crate, CrateId, Definition, DefinitionId, Glob, Impl, Module, ModuleId, Name,
    Sources, Unexpanded, hold, known_macros,
};
use crate::api::packages::Package;
use anyhow::{Context, Result};
use proc_macro2::TokenStream;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use syn::{Attribute, Item, UseTree, Visibility};

/// Where items are read: their module, and the directories that `mod` declarations refer to.
#[derive(Clone)]
struct Place {
    module: ModuleId,
    /// With the files of submodules.
    directory: PathBuf,
    /// With the file itself, where `#[path]` starts.
    file: PathBuf,
}

/// The macros that are known at a place.
type Scope = HashMap<String, Rc<MacroRules>>;

/// An item that invokes a macro which was not known yet.
struct Deferred {
    place: Place,
    item: Item,
    cfgs: Vec<Cfg>,
}

impl Sources {
    /// Reads the crate of a package, and before it those of its dependencies for whose names `follow` returns true.
    pub(crate) fn read(
        &mut self,
        package: &Package,
        packages: &[Package],
        follow: &dyn Fn(&str) -> bool,
    ) -> Result<CrateId> {
        if let Some(known) = self.crates.iter().position(|krate| krate.package == package.id) {
            return Ok(CrateId(known));
        }
        let used = |other: &&Package| package.dependencies.values().any(|id| *id == other.id);
        for other in packages.iter().filter(used).filter(|other| follow(&other.name)) {
            self.read(other, packages, follow)?;
        }
        let text =
            std::fs::read_to_string(&package.root).with_context(|| package.root.display().to_string())?;
        let directory = package.root.parent().unwrap_or(Path::new("")).to_owned();
        let krate = self.read_text(&package.name, &text, directory, package.dependencies.clone())?;
        self.crates[krate.0].package.clone_from(&package.id);
        Ok(krate)
    }

    /// Reads a crate from the text of its first file. `directory` holds the other files.
    pub(crate) fn read_text(
        &mut self,
        package: &str,
        text: &str,
        directory: PathBuf,
        dependencies: HashMap<String, String>,
    ) -> Result<CrateId> {
        let file = syn::parse_file(text).with_context(|| format!("the sources of {package}"))?;
        let (krate, root) = (CrateId(self.crates.len()), ModuleId(self.modules.len()));
        self.crates.push(Crate {
            name: package.replace('-', "_"),
            root,
            package: package.to_owned(),
            dependencies,
            macros: HashMap::new(),
        });
        self.modules.push(Module { krate, parent: None, names: vec![], globs: vec![], cfgs: vec![] });
        let mut reader = Reader { sources: self, deferred: Vec::new(), complete: false };
        let place = Place { module: root, file: directory.clone(), directory };
        reader.add_items(&place, file.items, &mut Scope::new(), &[])?;
        reader.finish()?;
        Ok(krate)
    }
}

/// Reads one crate.
struct Reader<'a> {
    sources: &'a mut Sources,
    deferred: Vec<Deferred>,
    /// Unknown macros are reported, since no more macros will become known.
    complete: bool,
}

impl Reader<'_> {
    /// Adds what was deferred. A macro that is used by its path may be defined after its use.
    fn finish(&mut self) -> Result<()> {
        while !self.deferred.is_empty() {
            let waiting = std::mem::take(&mut self.deferred);
            let count = waiting.len();
            for Deferred { place, item, cfgs } in waiting {
                self.add_item(&place, item, &mut Scope::new(), &cfgs)?;
            }
            self.complete = self.deferred.len() == count;
        }
        Ok(())
    }

    fn defer(&mut self, place: &Place, item: Item, cfgs: &[Cfg]) {
        self.deferred.push(Deferred { place: place.clone(), item, cfgs: cfgs.to_vec() });
    }

    fn unexpanded(&mut self, module: ModuleId, name: String, why: String) {
        let module = self.path(module);
        self.sources.unexpanded.push(Unexpanded { module, name, why });
    }

    fn path(&self, module: ModuleId) -> String {
        let this = self.sources.module(module);
        let Some(parent) = this.parent else { return self.sources.krate(this.krate).name.clone() };
        let names = &self.sources.module(parent).names;
        let own = names.iter().find(|name| matches!(name.binding, Binding::Module(id) if id == module));
        format!("{}::{}", self.path(parent), own.map_or("", |name| &name.name))
    }

    fn add_items(&mut self, place: &Place, items: Vec<Item>, scope: &mut Scope, cfgs: &[Cfg]) -> Result<()> {
        items.into_iter().try_for_each(|item| self.add_item(place, item, scope, cfgs))
    }

    fn add_item(&mut self, place: &Place, item: Item, scope: &mut Scope, cfgs: &[Cfg]) -> Result<()> {
        let own = Cfg::of(attributes(&item));
        if !hold(&own, &[]) {
            return Ok(());
        }
        if !self.complete && macros_inside(&item).iter().any(|name| !self.knows(place.module, name, scope)) {
            self.defer(place, item, cfgs);
            return Ok(());
        }
        let cfgs: Vec<Cfg> = cfgs.iter().cloned().chain(own).collect();
        match item {
            Item::Macro(item) if item.ident.is_some() => self.define_macro(place.module, item, scope, cfgs),
            Item::Macro(item) => self.add_invocation(place, item.mac, scope, &cfgs)?,
            Item::Mod(item) => self.add_module(place, item, scope, cfgs)?,
            Item::Use(item) => {
                let mut prefix = Vec::new();
                prefix.extend(item.leading_colon.map(|_| String::new()));
                let access = Access { public: is_public(&item.vis), hidden: is_hidden(&item.attrs), cfgs };
                self.add_use(place.module, &item.tree, &mut prefix, &access);
            }
            Item::Impl(item) => self.add_impl(place.module, item, scope, cfgs),
            Item::Trait(mut item) => {
                item.items = self.expand_parts(place.module, item.items, scope);
                let (name, public) = (item.ident.to_string(), is_public(&item.vis));
                self.define(place.module, name, Item::Trait(item), public, cfgs);
            }
            item => {
                if let Some((name, visibility)) = named(&item) {
                    let public = is_public(visibility);
                    self.define(place.module, name, item, public, cfgs);
                }
            }
        }
        Ok(())
    }

    fn define(&mut self, module: ModuleId, name: String, item: Item, public: bool, cfgs: Vec<Cfg>) {
        let id = DefinitionId(self.sources.definitions.len());
        let hidden = is_hidden(attributes(&item));
        let all = self.sources.module(module).cfgs.iter().chain(&cfgs).cloned().collect();
        let definition = Definition { name: name.clone(), hidden, item: Rc::new(item), cfgs: all };
        self.sources.definitions.push(definition);
        self.add_name(module, name, Binding::Definition(id), Access { public, hidden, cfgs });
    }

    fn add_name(&mut self, module: ModuleId, name: String, binding: Binding, access: Access) {
        self.sources.modules[module.0].names.push(Name { name, binding, access });
    }

    fn define_macro(&mut self, module: ModuleId, item: syn::ItemMacro, scope: &mut Scope, cfgs: Vec<Cfg>) {
        let name = item.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        let krate = self.sources.module(module).krate;
        match MacroRules::new(item.mac.tokens.clone()) {
            Ok(rules) => {
                let rules = Rc::new(rules);
                scope.insert(name.clone(), rules.clone());
                self.sources.crates[krate.0].macros.insert(name.clone(), rules);
            }
            Err(error) => self.unexpanded(module, name.clone(), error.to_string()),
        }
        let exported = item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"));
        let home = if exported { self.sources.krate(krate).root } else { module };
        self.define(home, name, Item::Macro(item), exported, cfgs);
    }

    fn add_invocation(
        &mut self,
        place: &Place,
        invocation: syn::Macro,
        scope: &mut Scope,
        cfgs: &[Cfg],
    ) -> Result<()> {
        match self
            .expand(place.module, &invocation, scope)
            .and_then(|tokens| Ok(syn::parse2::<syn::File>(tokens)?))
        {
            Ok(file) => self.add_items(place, file.items, scope, cfgs)?,
            Err(error) => self.unexpanded(place.module, last_name(&invocation.path), error.to_string()),
        }
        Ok(())
    }

    fn rules<'b>(&'b self, module: ModuleId, name: &str, scope: &'b Scope) -> Option<&'b MacroRules> {
        let krate = self.sources.krate(self.sources.module(module).krate);
        let rules = scope.get(name).or_else(|| krate.macros.get(name));
        rules.or_else(|| self.sources.crates.iter().find_map(|other| other.macros.get(name))).map(Rc::as_ref)
    }

    /// Returns whether a macro can be expanded.
    fn knows(&self, module: ModuleId, name: &str, scope: &Scope) -> bool {
        known_macros::expands(name) || self.rules(module, name, scope).is_some()
    }

    /// Returns what a macro produces.
    fn expand(&self, module: ModuleId, invocation: &syn::Macro, scope: &Scope) -> Result<TokenStream> {
        let name = last_name(&invocation.path);
        match self.rules(module, &name, scope) {
            Some(rules) => rules.expand(invocation.tokens.clone()),
            None => known_macros::expand(&name, &invocation.tokens),
        }
    }

    /// Expands the macros among the items of an `impl` block or trait, and those in what they produce.
    fn expand_parts<T: Part>(&mut self, module: ModuleId, parts: Vec<T>, scope: &Scope) -> Vec<T> {
        let mut expanded = Vec::new();
        for part in parts {
            let Some((invocation, attributes)) = part.invocation() else {
                expanded.push(part);
                continue;
            };
            let produced = self.expand(module, invocation, scope).and_then(|tokens| Ok(T::parse(tokens)?));
            match produced {
                Ok(mut produced) => {
                    for each in produced.iter_mut().filter_map(Part::attributes) {
                        each.extend(attributes.iter().cloned());
                    }
                    expanded.extend(self.expand_parts(module, produced, scope));
                }
                Err(error) => self.unexpanded(module, last_name(&invocation.path), error.to_string()),
            }
        }
        expanded
    }

    fn add_impl(&mut self, module: ModuleId, mut item: syn::ItemImpl, scope: &Scope, cfgs: Vec<Cfg>) {
        item.items = self.expand_parts(module, item.items, scope);
        let cfgs = self.sources.module(module).cfgs.iter().cloned().chain(cfgs).collect();
        self.sources.impls.push(Impl { module, item, cfgs });
    }

    fn add_module(
        &mut self,
        place: &Place,
        item: syn::ItemMod,
        scope: &mut Scope,
        mut cfgs: Vec<Cfg>,
    ) -> Result<()> {
        let name = item.ident.to_string();
        let id = ModuleId(self.sources.modules.len());
        let (items, inside) = match item.content {
            Some((_, items)) => {
                let directory = place.directory.join(&name);
                (items, Place { module: id, file: directory.clone(), directory })
            }
            None => {
                let path = module_file(place, &name, &item.attrs);
                // Packages leave out the sources of tests.
                let Ok(text) = std::fs::read_to_string(&path) else {
                    self.unexpanded(place.module, name, "the file of this module is missing".into());
                    return Ok(());
                };
                let file = syn::parse_file(&text).with_context(|| path.display().to_string())?;
                cfgs.extend(Cfg::of(&file.attrs));
                let parent = path.parent().unwrap_or(Path::new("")).to_owned();
                let owns_directory = path.ends_with("mod.rs") || path_attribute(&item.attrs).is_some();
                let directory = if owns_directory { parent.clone() } else { parent.join(&name) };
                (file.items, Place { module: id, file: parent, directory })
            }
        };
        if !hold(&cfgs, &[]) {
            return Ok(());
        }
        let parent = self.sources.module(place.module);
        let all = parent.cfgs.iter().chain(&cfgs).cloned().collect();
        let krate = parent.krate;
        let module = Module { krate, parent: Some(place.module), names: vec![], globs: vec![], cfgs: all };
        self.sources.modules.push(module);
        let access = Access { public: is_public(&item.vis), hidden: is_hidden(&item.attrs), cfgs };
        self.add_name(place.module, name, Binding::Module(id), access);
        let mut inner = scope.clone();
        self.add_items(&inside, items, &mut inner, &[])?;
        if item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_use")) {
            *scope = inner;
        }
        Ok(())
    }

    fn add_use(&mut self, module: ModuleId, tree: &UseTree, prefix: &mut Vec<String>, access: &Access) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.add_use(module, &path.tree, prefix, access);
                prefix.pop();
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                let known =
                    if name == "self" { prefix.last().cloned().unwrap_or_default() } else { name.clone() };
                self.add_name(module, known, Binding::Use(used_path(prefix, name)), access.clone());
            }
            UseTree::Rename(rename) => {
                let path = used_path(prefix, rename.ident.to_string());
                self.add_name(module, rename.rename.to_string(), Binding::Use(path), access.clone());
            }
            UseTree::Glob(_) => {
                let glob = Glob { path: prefix.clone(), access: access.clone() };
                self.sources.modules[module.0].globs.push(glob);
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_use(module, tree, prefix, access));
            }
        }
    }
}

/// Returns the names of the macros that an item invokes in the place of items.
fn macros_inside(item: &Item) -> Vec<String> {
    fn of<T: Part>(parts: &[T]) -> Vec<String> {
        let invocations = parts.iter().filter_map(Part::invocation);
        invocations.map(|(invocation, _)| last_name(&invocation.path)).collect()
    }
    match item {
        Item::Macro(item) if item.ident.is_none() => vec![last_name(&item.mac.path)],
        Item::Impl(item) => of(&item.items),
        Item::Trait(item) => of(&item.items),
        _ => vec![],
    }
}

/// Returns the path that a `use` names. A `self` at its end stands for what comes before.
fn used_path(prefix: &[String], last: String) -> Vec<String> {
    let mut path = prefix.to_vec();
    if last != "self" || path.is_empty() {
        path.push(last);
    }
    path
}

fn module_file(place: &Place, name: &str, attributes: &[Attribute]) -> PathBuf {
    if let Some(path) = path_attribute(attributes) {
        return place.file.join(path);
    }
    let flat = place.directory.join(format!("{name}.rs"));
    if flat.exists() { flat } else { place.directory.join(name).join("mod.rs") }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.path().is_ident("path"))?;
    match &attribute.meta.require_name_value().ok()?.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
        _ => None,
    }
}

fn last_name(path: &syn::Path) -> String {
    path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default()
}

pub(crate) fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Returns whether an item has `#[doc(hidden)]`.
pub(crate) fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).any(|attribute| {
        let mut hidden = false;
        // `#[doc = "…"]` is no list.
        let _ = attribute.parse_nested_meta(|meta| {
            hidden |= meta.path.is_ident("hidden");
            Ok(())
        });
        hidden
    })
}

/// Returns the name and visibility of an item that defines something.
fn named(item: &Item) -> Option<(String, &Visibility)> {
    let (name, visibility) = match item {
        Item::Const(item) => (&item.ident, &item.vis),
        Item::Enum(item) => (&item.ident, &item.vis),
        Item::Fn(item) => (&item.sig.ident, &item.vis),
        Item::Static(item) => (&item.ident, &item.vis),
        Item::Struct(item) => (&item.ident, &item.vis),
        Item::Type(item) => (&item.ident, &item.vis),
        Item::Union(item) => (&item.ident, &item.vis),
        _ => return None,
    };
    Some((name.to_string(), visibility))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
