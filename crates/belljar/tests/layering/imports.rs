//! Which file of a crate imports which. Re-exports are followed to the file that defines a name.
//!
//! In: the sources of a crate. Out: a graph of its files, and the circles in it. Code of tests is ignored, and so are
//! re-exports: a façade that re-exports names does not depend on what they name. Method calls are not seen: the `impl`
//! blocks of a type may be spread over many files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::Visit;

/// A module's path from the crate's root.
type ModulePath = Vec<String>;

/// What a name in a module refers to.
#[derive(Clone, Debug)]
enum Name {
    /// An item that this module defines.
    Item,
    /// A module below this one.
    Module,
    /// An import: the path that it names, as written.
    Alias(Vec<String>),
}

#[derive(Debug)]
struct Module {
    file: PathBuf,
    names: BTreeMap<String, Name>,
    /// Paths of modules whose names are all imported.
    globs: Vec<Vec<String>>,
    /// Paths that the code names, as written, including those of private imports.
    used: BTreeSet<Vec<String>>,
}

/// The imports of a crate's files.
pub(crate) struct Imports {
    modules: BTreeMap<ModulePath, Module>,
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = match &attribute.meta {
            syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string(),
            _ => return false,
        };
        text == "test" || text.starts_with("all (test") || text == "belljar_models"
    })
}

/// The paths in a piece of code.
#[derive(Default)]
struct Paths(BTreeSet<Vec<String>>);

impl Paths {
    /// Macros are not parsed: anything in one that looks like a path is treated as one.
    fn tokens(&mut self, tokens: proc_macro2::TokenStream) {
        use proc_macro2::TokenTree::{Group, Ident, Literal, Punct};
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                Ident(ident) => {
                    if colons != 2 && !path.is_empty() {
                        self.0.insert(std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                Punct(punct) if punct.as_char() == ':' => colons += 1,
                Group(group) => {
                    self.tokens(group.stream());
                    self.0.insert(std::mem::take(&mut path));
                    colons = 0;
                }
                Punct(_) | Literal(_) => {
                    self.0.insert(std::mem::take(&mut path));
                    colons = 0;
                }
            }
        }
        self.0.insert(path);
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.0.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.visit_path(&mac.path);
        self.tokens(mac.tokens.clone());
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            syn::visit::visit_impl_item_fn(self, item);
        }
    }
}

/// Collects the leaves of an import: the name that it introduces, unless it is a glob, and the path.
fn leaves(tree: &syn::UseTree, above: &[String], out: &mut Vec<(Option<String>, Vec<String>)>) {
    let with = |name: String| above.iter().cloned().chain([name]).collect::<Vec<_>>();
    match tree {
        syn::UseTree::Path(path) => leaves(&path.tree, &with(path.ident.to_string()), out),
        syn::UseTree::Group(group) => group.items.iter().for_each(|item| leaves(item, above, out)),
        syn::UseTree::Glob(_) => out.push((None, above.to_vec())),
        syn::UseTree::Name(name) if name.ident == "self" => {
            out.push((above.last().cloned(), above.to_vec()));
        }
        syn::UseTree::Name(name) => out.push((Some(name.ident.to_string()), with(name.ident.to_string()))),
        syn::UseTree::Rename(rename) => {
            out.push((Some(rename.rename.to_string()), with(rename.ident.to_string())));
        }
    }
}

impl Imports {
    /// Reads the crate whose root module is in `root`.
    pub(crate) fn of(root: &Path) -> Self {
        let mut imports = Self { modules: BTreeMap::new() };
        imports.read_file(root, Vec::new());
        imports
    }

    fn read_file(&mut self, file: &Path, path: ModulePath) {
        let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        self.read_items(file, path, &parsed.items);
    }

    fn read_items(&mut self, file: &Path, path: ModulePath, items: &[syn::Item]) {
        let (mut names, mut globs, mut paths) = (BTreeMap::new(), Vec::new(), Paths::default());
        for item in items {
            let defined = match item {
                syn::Item::Mod(module) => {
                    if is_test(&module.attrs) {
                        continue;
                    }
                    let name = module.ident.to_string();
                    let below: ModulePath = path.iter().cloned().chain([name.clone()]).collect();
                    match &module.content {
                        Some((_, items)) => self.read_items(file, below, items),
                        None => self.read_file(&file_of(file, &path, &name), below),
                    }
                    names.insert(name, Name::Module);
                    continue;
                }
                syn::Item::Use(import) => {
                    if is_test(&import.attrs) {
                        continue;
                    }
                    let mut found = Vec::new();
                    leaves(&import.tree, &[], &mut found);
                    for (name, target) in found {
                        if matches!(import.vis, syn::Visibility::Inherited) {
                            paths.0.insert(target.clone());
                        }
                        match name {
                            Some(name) => drop(names.insert(name, Name::Alias(target))),
                            None => globs.push(target),
                        }
                    }
                    continue;
                }
                syn::Item::Struct(item) => Some((&item.attrs, &item.ident)),
                syn::Item::Enum(item) => Some((&item.attrs, &item.ident)),
                syn::Item::Union(item) => Some((&item.attrs, &item.ident)),
                syn::Item::Trait(item) => Some((&item.attrs, &item.ident)),
                syn::Item::Type(item) => Some((&item.attrs, &item.ident)),
                syn::Item::Const(item) => Some((&item.attrs, &item.ident)),
                syn::Item::Static(item) => Some((&item.attrs, &item.ident)),
                syn::Item::Fn(item) => Some((&item.attrs, &item.sig.ident)),
                syn::Item::Macro(item) => item.ident.as_ref().map(|ident| (&item.attrs, ident)),
                _ => None,
            };
            if let Some((attributes, name)) = defined {
                if is_test(attributes) {
                    continue;
                }
                names.insert(name.to_string(), Name::Item);
            }
            paths.visit_item(item);
        }
        let module = Module { file: file.to_path_buf(), names, globs, used: paths.0 };
        self.modules.insert(path, module);
    }

    /// Returns the file that defines what a path in a module names. `None` for a module, an item of another crate, or a
    /// local name.
    fn definition(&self, module: &ModulePath, path: &[String], depth: usize) -> Option<PathBuf> {
        let (first, rest) = path.split_first()?;
        if depth > 16 {
            return None;
        }
        match &**first {
            "crate" => return self.within(Vec::new(), rest, depth),
            "self" => return self.within(module.clone(), rest, depth),
            "super" => return self.within(module.split_last()?.1.to_vec(), rest, depth),
            _ => {}
        }
        self.within(module.clone(), path, depth)
    }

    fn within(&self, module: ModulePath, path: &[String], depth: usize) -> Option<PathBuf> {
        let (first, rest) = path.split_first()?;
        if first == "super" {
            return self.within(module.split_last()?.1.to_vec(), rest, depth);
        }
        let here = self.modules.get(&module)?;
        match here.names.get(first) {
            Some(Name::Item) => Some(here.file.clone()),
            Some(Name::Module) => {
                let below = module.iter().cloned().chain([first.clone()]).collect();
                self.within(below, rest, depth)
            }
            Some(Name::Alias(target)) if target.first() != Some(first) || target.len() > 1 => {
                let whole: Vec<_> = target.iter().chain(rest).cloned().collect();
                self.definition(&module, &whole, depth + 1)
            }
            Some(Name::Alias(_)) => None,
            None => here.globs.iter().find_map(|glob| {
                let whole: Vec<_> = glob.iter().chain(path).cloned().collect();
                self.definition(&module, &whole, depth + 1)
            }),
        }
    }

    /// Returns, for each file, the files that it imports from, with the names.
    pub(crate) fn edges(&self) -> BTreeMap<&Path, BTreeMap<PathBuf, BTreeSet<String>>> {
        let mut edges: BTreeMap<&Path, BTreeMap<PathBuf, BTreeSet<String>>> = BTreeMap::new();
        for (path, module) in &self.modules {
            let out = edges.entry(&module.file).or_default();
            for used in &module.used {
                if let Some(file) = self.definition(path, used, 0).filter(|file| *file != module.file) {
                    out.entry(file).or_default().insert(used.join("::"));
                }
            }
        }
        edges
    }

    /// Returns the sets of two or more files that import each other, the largest first.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<PathBuf>> {
        let edges = self.edges();
        let reach: BTreeMap<&Path, BTreeSet<&Path>> = edges
            .keys()
            .map(|&start| {
                let (mut seen, mut todo) = (BTreeSet::new(), vec![start]);
                while let Some(at) = todo.pop() {
                    let next = edges.get(at).into_iter().flat_map(|out| out.keys().map(PathBuf::as_path));
                    todo.extend(next.filter(|&next| seen.insert(next)));
                }
                (start, seen)
            })
            .collect();
        let circle_of = |file: &Path| -> BTreeSet<PathBuf> {
            let back = |other: &&&Path| reach.get(**other).is_some_and(|seen| seen.contains(file));
            reach[file].iter().filter(back).map(|path| path.to_path_buf()).collect()
        };
        let circles: BTreeSet<_> = edges.keys().map(|file| circle_of(file)).filter(|c| c.len() > 1).collect();
        let mut circles: Vec<_> = circles.into_iter().collect();
        circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        circles
    }
}

/// Returns the file of a module that is declared in `file`, which contains the module of this path.
fn file_of(file: &Path, path: &ModulePath, name: &str) -> PathBuf {
    let is_folder = path.is_empty() || file.file_name().is_some_and(|name| name == "mod.rs");
    let folder = match is_folder {
        true => file.parent().expect("a file lies in a folder").to_path_buf(),
        false => file.with_extension(""),
    };
    let plain = folder.join(name).with_extension("rs");
    if plain.exists() { plain } else { folder.join(name).join("mod.rs") }
}
