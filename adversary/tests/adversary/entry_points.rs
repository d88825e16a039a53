//! Lists the functions to which a user of the libraries can pass a type of their own. Read from the sources, so that
//! none is forgotten.

use crate::sources::add_rust_files;
use quote::ToTokens;
use std::collections::BTreeSet;
use std::path::Path;
use syn::visit::{self, Visit};

/// Source directories with a public interface.
const CRATES: &[&str] = &["belljar", "wasi", "cache"];

/// Traits that users can implement, and closures.
const OF_ANYBODY: &[&str] = &[
    "AsContext",
    "AsContextMut",
    "StoreContext",
    "StoreContextMut",
    "Fn",
    "FnMut",
    "FnOnce",
    "IntoIterator",
    "Iterator",
    "Into",
    "AsRef",
    "Display",
    "IntoFunc",
    "ResourceLimiter",
    "Read",
    "Write",
    "HostRandom",
    "HostWallClock",
    "HostMonotonicClock",
    "HostCpuClock",
    "InputStream",
    "OutputStream",
    "Any",
    "IntoBytes",
    "FromBytes",
    "WasmParams",
    "WasmResults",
];

#[derive(Default)]
struct Reader {
    /// What the crate exports.
    exported: BTreeSet<String>,
    /// The type whose functions are being read, and the bounds of its parameters.
    this: Option<(String, String)>,
    found: BTreeSet<String>,
}

fn text(tokens: &impl ToTokens) -> String {
    tokens.to_token_stream().to_string()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn is_hidden(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|a| text(a).contains("doc (hidden)"))
}

impl Reader {
    fn function(&mut self, signature: &syn::Signature) {
        let Some((this, bounds)) = &self.this else { return };
        let mut takes = format!("{} {}", text(&signature.generics), text(&signature.generics.where_clause));
        for input in signature.inputs.iter() {
            takes = format!("{takes} {}", text(input));
        }
        // Parameters of the type count if a function takes one: a store's data, a scope's context.
        let of_type = words(bounds).filter(|word| word.len() == 1).any(|parameter| {
            signature
                .inputs
                .iter()
                .any(|input| matches!(input, syn::FnArg::Typed(input) if text(&input.ty) == *parameter))
                || text(&signature.output).ends_with(&format!("-> {parameter}"))
        });
        if of_type || words(&takes).any(|word| OF_ANYBODY.contains(&word)) {
            self.found.insert(format!("{this}::{}", signature.ident));
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !item.attrs.iter().any(|a| text(a).contains("cfg (test)")) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let syn::Type::Path(path) = &*item.self_ty else { return };
        let Some(last) = path.path.segments.last() else { return };
        if item.trait_.is_some() || !self.exported.contains(&last.ident.to_string()) {
            return;
        }
        // Distinguishes `Rooted<StructRef>` from `Rooted<T>`; parameters have one letter.
        let parameter = text(&last.arguments).replace(' ', "");
        let is_concrete = words(&parameter).any(|word| word.len() > 1);
        let name = format!("{}{}", last.ident, if is_concrete { &*parameter } else { "" });
        self.this = Some((name, text(&item.generics)));
        visit::visit_item_impl(self, item);
        self.this = None;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if matches!(item.vis, syn::Visibility::Public(_)) && !is_hidden(&item.attrs) {
            self.function(&item.sig);
        }
    }
}

/// Returns the names that a crate's `lib.rs` exports.
fn exported(source: &str) -> BTreeSet<String> {
    let file = syn::parse_file(source).unwrap();
    let public = |item: &syn::Item| match item {
        syn::Item::Use(item) if matches!(item.vis, syn::Visibility::Public(_)) => text(&item.tree),
        syn::Item::Mod(item) if matches!(item.vis, syn::Visibility::Public(_)) => item.ident.to_string(),
        _ => String::new(),
    };
    file.items.iter().map(public).flat_map(|t| words(&t).map(String::from).collect::<Vec<_>>()).collect()
}

/// Returns all entry points.
pub(crate) fn all() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut found = BTreeSet::new();
    for name in CRATES {
        let folder = root.join(name).join("src");
        let mut files = Vec::new();
        add_rust_files(&folder, &mut files);
        let mut reader = Reader {
            exported: exported(&std::fs::read_to_string(folder.join("lib.rs")).unwrap()),
            ..Reader::default()
        };
        for file in files {
            reader.visit_file(&syn::parse_file(&std::fs::read_to_string(&file).unwrap()).unwrap());
        }
        found.extend(reader.found);
    }
    found
}
