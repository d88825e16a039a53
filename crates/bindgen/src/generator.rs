//! What is generated for a world, and where: each interface in a module, the world at the root.

use crate::facts::AllFacts;
use crate::keys;
use crate::modules::Modules;
use crate::names::{camel, raw, value};
use crate::options::Options;
use crate::unsupported;
use crate::wit::Wit;
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};
use std::cell::Cell;
use std::collections::HashMap;
use syn::{Error, LitStr, Result};
use wit_parser::{
    Function, InterfaceId, PackageId, Resolve, TypeDefKind, TypeId, WorldId, WorldItem, WorldKey,
};

/// Where the code of an interface is.
pub(crate) struct Home {
    /// The path of its module, from the root.
    pub(crate) path: Vec<Ident>,
    /// The path of the module that `with` names for it.
    pub(crate) instead: Option<Vec<Ident>>,
    pub(crate) imported: bool,
}

impl Home {
    /// Returns the path by which other code refers to the interface, from the root.
    pub(crate) fn reference(&self) -> &[Ident] {
        self.instead.as_deref().unwrap_or(&self.path)
    }
}

/// Where code is being generated.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The interface, with the name that the world has for it; `None` for the world itself.
    pub(crate) interface: Option<(InterfaceId, &'a WorldKey)>,
    /// How many modules deep it is.
    pub(crate) depth: usize,
}

impl Scope<'_> {
    pub(crate) const ROOT: Scope<'static> = Scope { interface: None, depth: 0 };

    /// Returns the path to the root: `super::super::`.
    pub(crate) fn to_root(self) -> TokenStream {
        std::iter::repeat_n(quote!(super::), self.depth).collect()
    }
}

/// An entry of `with`: the name at the root that stands for its path.
struct With {
    key: LitStr,
    name: Ident,
    path: syn::Path,
    used: Cell<bool>,
}

/// Generates the code for a world.
pub(crate) struct Generator<'a> {
    pub(crate) resolve: &'a Resolve,
    pub(crate) world: WorldId,
    pub(crate) options: &'a Options,
    /// The path of the crate `belljar`.
    pub(crate) belljar: TokenStream,
    pub(crate) facts: AllFacts,
    pub(crate) homes: HashMap<InterfaceId, Home>,
    /// The Rust types that host functions return in place of errors of WIT: their names at the root.
    pub(crate) trappable_errors: HashMap<TypeId, Ident>,
    with: Vec<With>,
}

/// Generates everything.
pub(crate) fn generate(wit: &Wit, options: &Options) -> Result<TokenStream> {
    let (resolve, world) = (&wit.resolve, wit.world);
    unsupported::check(resolve, world)?;
    let mut names: Vec<_> = options.with.iter().collect();
    names.sort_by_key(|(key, _)| key.value());
    let with = names.into_iter().enumerate().map(|(i, (key, path))| With {
        key: key.clone(),
        name: format_ident!("__with_name{i}"),
        path: path.clone(),
        used: Cell::new(false),
    });
    let belljar = options.crate_path().to_token_stream();
    let mut generator = Generator {
        resolve,
        world,
        options,
        belljar,
        facts: AllFacts::new(resolve, world),
        homes: HashMap::new(),
        trappable_errors: HashMap::new(),
        with: with.collect(),
    };
    generator.find_homes();
    let error_aliases = generator.find_trappable_errors()?;
    let code = generator.world()?;
    generator.check_with_used()?;
    options.imports.check_used("imports")?;
    options.exports.check_used("exports")?;
    let with = generator.with.iter().map(|With { name, path, .. }| {
        quote! {
            #[doc(hidden)]
            pub use #path as #name;
        }
    });
    Ok(quote!(#(#with)* #error_aliases #code))
}

impl<'a> Generator<'a> {
    fn find_homes(&mut self) {
        let world = &self.resolve.worlds[self.world];
        for (items, imported) in [(&world.imports, true), (&world.exports, false)] {
            for (key, item) in items {
                let WorldItem::Interface { id, .. } = item else { continue };
                let key = if imported { self.module_key(key, *id) } else { key.clone() };
                let instead = self.replacement(&key, None);
                let path = self.module_path(&key, imported);
                self.homes.entry(*id).or_insert(Home { path, instead, imported });
            }
        }
    }

    /// Returns the key that names an interface's module. An import of an interface by another name (`import a: ns:pkg/b`)
    /// is generated where the interface would be.
    pub(crate) fn module_key(&self, key: &WorldKey, id: InterfaceId) -> WorldKey {
        match key {
            WorldKey::Name(_) if self.resolve.interfaces[id].name.is_some() => WorldKey::Interface(id),
            _ => key.clone(),
        }
    }

    fn module_path(&self, key: &WorldKey, imported: bool) -> Vec<Ident> {
        let mut path = Vec::new();
        if !imported {
            path.push(raw("exports"));
        }
        match key {
            WorldKey::Name(name) => path.push(value(name)),
            WorldKey::Interface(id) => {
                let interface = &self.resolve.interfaces[*id];
                if let Some(package) = interface.package {
                    path.push(value(&self.resolve.packages[package].name.namespace));
                    path.push(self.package_module(package));
                }
                path.extend(interface.name.as_deref().map(value));
            }
        }
        path
    }

    /// Returns the module of a package. It has the version in its name if there are several versions.
    fn package_module(&self, id: PackageId) -> Ident {
        let name = &self.resolve.packages[id].name;
        let same = |(_, package): &(_, &wit_parser::Package)| {
            package.name.namespace == name.namespace && package.name.name == name.name
        };
        let versions = self.resolve.packages.iter().filter(same).count();
        match &name.version {
            Some(version) if versions > 1 => {
                let version = version.to_string().replace(['.', '-', '+'], "_");
                raw(&format!("{}{version}", crate::names::snake(&name.name)))
            }
            _ => value(&name.name),
        }
    }

    /// Returns the path from the root that `with` gives for an interface or for an item of it.
    pub(crate) fn replacement(&self, key: &WorldKey, item: Option<&str>) -> Option<Vec<Ident>> {
        keys::of(self.resolve, key, item).into_iter().find_map(|key| {
            let name = self.named(&key.name)?;
            Some(std::iter::once(name).chain(key.rest.iter().map(|part| raw(part))).collect())
        })
    }

    /// Returns the name at the root of what `with` has for a key.
    pub(crate) fn named(&self, key: &str) -> Option<Ident> {
        let found = self.with.iter().find(|with| with.key.value() == key)?;
        found.used.set(true);
        Some(found.name.clone())
    }

    fn check_with_used(&self) -> Result<()> {
        match self.with.iter().find(|with| !with.used.get()) {
            None => Ok(()),
            Some(With { key, .. }) => {
                let what = format!("the world has nothing that is called `{}`", key.value());
                Err(Error::new(key.span(), what))
            }
        }
    }

    /// Finds the types that `trappable_error_type` names. Returns aliases for what it gives instead.
    fn find_trappable_errors(&mut self) -> Result<TokenStream> {
        let mut aliases = TokenStream::new();
        for (i, (key, ty)) in self.options.trappable_errors.iter().enumerate() {
            let wanted = key.value();
            let found = self.resolve.interfaces.iter().find_map(|(id, interface)| {
                let names = keys::of_interface(self.resolve, &WorldKey::Interface(id));
                names.iter().find_map(|name| {
                    let item = wanted.strip_prefix(&**name)?.strip_prefix(['.', '/'])?;
                    interface.types.get(item).copied()
                })
            });
            let Some(found) = found else {
                let what =
                    format!("there is no type `{wanted}`: write it as `namespace:package/interface.type`");
                return Err(Error::new(key.span(), what));
            };
            let name = format_ident!("_TrappableError{i}");
            aliases.extend(quote!(type #name = #ty;));
            self.trappable_errors.insert(found, name);
        }
        Ok(aliases)
    }

    /// Returns the path to the module of another interface, with `::` at the end; nothing within the interface itself.
    pub(crate) fn path_to(&self, scope: Scope<'_>, interface: InterfaceId) -> Option<TokenStream> {
        if scope.interface.is_some_and(|(current, _)| current == interface) {
            return None;
        }
        let root = scope.to_root();
        let path = self.homes.get(&interface).map(Home::reference).unwrap_or_default();
        Some(quote!(#root #(#path::)*))
    }

    /// Returns the documentation of an item.
    pub(crate) fn docs(&self, docs: &wit_parser::Docs) -> TokenStream {
        let lines = docs.contents.as_deref().unwrap_or_default().trim().lines();
        let lines = lines.map(|line| match line.is_empty() {
            true => String::new(),
            false => format!(" {line}"),
        });
        quote!(#(#[doc = #lines])*)
    }

    /// Returns the type that trait methods of the host return errors with.
    pub(crate) fn host_result(&self) -> TokenStream {
        match self.options.anyhow {
            true => quote!(::anyhow::Result),
            false => {
                let belljar = &self.belljar;
                quote!(#belljar::Result)
            }
        }
    }

    /// Returns code that makes an expression of [`Generator::host_result`] one of belljar's.
    pub(crate) fn host_result_to_ours(&self, result: TokenStream) -> TokenStream {
        let belljar = &self.belljar;
        match self.options.anyhow {
            true => quote!(#result.map_err(#belljar::Error::from_anyhow)),
            false => result,
        }
    }

    /// Generates the world.
    fn world(&self) -> Result<TokenStream> {
        let world = &self.resolve.worlds[self.world];
        let mut modules = Modules::default();
        let mut root = self.world_options();
        let mut done = Vec::new();
        for (key, item) in &world.imports {
            match item {
                WorldItem::Interface { id, .. } => {
                    let key = self.module_key(key, *id);
                    if done.contains(&self.homes[id].path) {
                        continue;
                    }
                    done.push(self.homes[id].path.clone());
                    modules.add(&self.homes[id].path, self.imported_interface(*id, &key));
                    root.extend(self.convert_features(*id));
                }
                WorldItem::Type { id, .. } if !self.options.only_interfaces => {
                    if let WorldKey::Name(name) = key {
                        root.extend(self.define(Scope::ROOT, name, *id));
                    }
                }
                WorldItem::Type { .. } | WorldItem::Function(_) => {}
            }
        }
        for (key, item) in &world.exports {
            if let WorldItem::Interface { id, .. } = item {
                modules.add(&self.homes[id].path, self.exported_interface(*id, key));
            }
        }
        if !self.options.only_interfaces {
            root.extend(self.world_items());
        }
        root.extend(modules.into_code());
        Ok(root)
    }

    /// Generates the module of an imported interface.
    fn imported_interface(&self, id: InterfaceId, key: &WorldKey) -> TokenStream {
        let home = &self.homes[&id];
        let scope = Scope { interface: Some((id, key)), depth: home.path.len() };
        if let Some(instead) = &home.instead {
            let root = scope.to_root();
            return quote! {
                #[allow(unused_imports)]
                pub use #root #(#instead::)* *;
            };
        }
        let options = self.interface_options(id);
        let types = self.types(scope, id);
        let host = self.host(scope, id, key);
        quote!(#options #types #host)
    }

    /// Generates the types of an interface.
    pub(crate) fn types(&self, scope: Scope<'_>, id: InterfaceId) -> TokenStream {
        let types = &self.resolve.interfaces[id].types;
        types.iter().map(|(name, id)| self.define(scope, name, *id)).collect()
    }

    /// Returns the name of the trait of a resource.
    pub(crate) fn resource_trait(name: &str) -> Ident {
        raw(&format!("Host{}", camel(name)))
    }

    /// Returns the resources that an interface defines.
    pub(crate) fn resources(&self, id: InterfaceId) -> Vec<(TypeId, &'a str)> {
        let types = self.resolve.interfaces[id].types.iter();
        types
            .filter(|(_, id)| matches!(self.resolve.types[**id].kind, TypeDefKind::Resource))
            .map(|(name, id)| (*id, &**name))
            .collect()
    }

    /// Returns the resources that the world defines.
    pub(crate) fn world_resources(&self) -> Vec<(TypeId, &'a str)> {
        let items = self.resolve.worlds[self.world].imports.iter();
        items
            .filter_map(|(key, item)| match (key, item) {
                (WorldKey::Name(name), WorldItem::Type { id, .. }) => Some((*id, &**name)),
                _ => None,
            })
            .filter(|(id, _)| matches!(self.resolve.types[*id].kind, TypeDefKind::Resource))
            .collect()
    }

    /// Returns the functions that the world imports.
    pub(crate) fn world_functions(&self) -> Vec<&'a Function> {
        let items = self.resolve.worlds[self.world].imports.values();
        items
            .filter_map(|item| match item {
                WorldItem::Function(func) => Some(func),
                _ => None,
            })
            .collect()
    }
}
