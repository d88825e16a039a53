//! Which traits the public types implement.
//!
//! Traits count if they are those of the standard library that users write in bounds or call without naming the type
//! ([`STANDARD`]), or public traits of the crate. Blanket implementations and those for tuples and functions do not.

use super::signature::short;
use super::{ByDefinition, Entity, Implementation, concrete_arguments, entity_of, path_names};
use crate::api::sources::{ModuleId, NameSpace, Sources, Target};
use quote::ToTokens;
use syn::{Item, Meta, Type};

const STANDARD: &[&str] = &[
    "AsMut",
    "AsRef",
    "Clone",
    "Copy",
    "Debug",
    "Default",
    "Deref",
    "DerefMut",
    "Display",
    "DoubleEndedIterator",
    "Eq",
    "Error",
    "ExactSizeIterator",
    "Extend",
    "From",
    "FromIterator",
    "FromStr",
    "Hash",
    "IntoIterator",
    "Iterator",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "TryFrom",
];

/// Adds the implementations of all entities.
pub(super) fn add(sources: &Sources, by_definition: &ByDefinition, entities: &mut [Entity]) {
    for (&id, &index) in by_definition {
        let definition = sources.definition(id);
        let attributes = match &*definition.item {
            Item::Struct(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Union(item) => &item.attrs,
            _ => continue,
        };
        for name in derived(attributes) {
            add_implementation(&mut entities[index], Implementation { name, own_trait: None, cfgs: vec![] });
        }
    }
    for block in sources.impls() {
        let Some((None, path, _)) = &block.item.trait_ else { continue };
        let Type::Path(ty) = &*block.item.self_ty else { continue };
        let own = entity_of(sources, by_definition, block.module, path, NameSpace::Type);
        let Some(name) = trait_name(path, own.is_some()) else { continue };
        if !arguments_are_public(sources, by_definition, block.module, path) {
            continue;
        }
        let own_trait = own.map(|index| entities[index].path().to_owned());
        let implementation = |name| Implementation { name, own_trait, cfgs: block.cfgs.clone() };
        match entity_of(sources, by_definition, block.module, &ty.path, NameSpace::Type) {
            // Those of an alias are those of another type.
            Some(index) if !entities[index].description.signature.starts_with("type ") => {
                if name == "Deref" {
                    entities[index].deref = deref_target(sources, by_definition, block.module, &block.item);
                }
                let name = match concrete_arguments(&ty.path, &block.item.generics) {
                    Some(arguments) => format!("{name} for <{arguments}>"),
                    None => name,
                };
                add_implementation(&mut entities[index], implementation(name));
            }
            // A trait of the crate for a type of another crate, such as `i32`.
            _ => {
                if let (Some(index), false) = (own, names_parameter(&ty.path, &block.item.generics)) {
                    let name = format!("for {}", short(&ty.to_token_stream()));
                    add_implementation(&mut entities[index], implementation(name));
                }
            }
        }
    }
    for entity in entities {
        entity.impls.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

fn add_implementation(entity: &mut Entity, implementation: Implementation) {
    if entity.impls.iter().all(|known| known.name != implementation.name) {
        entity.impls.push(implementation);
    }
}

/// Returns the traits that are derived.
fn derived(attributes: &[syn::Attribute]) -> Vec<String> {
    let mut names = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
        if let Meta::List(_) = attribute.meta {
            // An attribute that does not parse derives nothing.
            let _ = attribute.parse_nested_meta(|meta| {
                names.extend(trait_name(&meta.path, false));
                Ok(())
            });
        }
    }
    names
}

/// Returns whether users can name the types that a path has as arguments.
fn arguments_are_public(
    sources: &Sources,
    by_definition: &ByDefinition,
    module: ModuleId,
    path: &syn::Path,
) -> bool {
    let Some(syn::PathArguments::AngleBracketed(arguments)) =
        path.segments.last().map(|last| &last.arguments)
    else {
        return true;
    };
    arguments.args.iter().all(|argument| match argument {
        syn::GenericArgument::Type(Type::Path(ty)) => {
            let target = sources.resolve(module, &path_names(&ty.path), NameSpace::Type);
            !matches!(target, Some(Target::Definition(id)) if !by_definition.contains_key(&id))
        }
        _ => true,
    })
}

/// Returns whether a type names a type parameter of its `impl` block.
fn names_parameter(path: &syn::Path, generics: &syn::Generics) -> bool {
    fn contains(tokens: proc_macro2::TokenStream, name: &syn::Ident) -> bool {
        tokens.into_iter().any(|token| match token {
            proc_macro2::TokenTree::Ident(word) => word == *name,
            proc_macro2::TokenTree::Group(group) => contains(group.stream(), name),
            _ => false,
        })
    }
    generics.type_params().any(|parameter| contains(path.to_token_stream(), &parameter.ident))
}

/// Returns the name of a trait with its arguments, if it counts.
fn trait_name(path: &syn::Path, own: bool) -> Option<String> {
    let last = path.segments.last()?;
    (own || STANDARD.contains(&last.ident.to_string().as_str())).then(|| short(&last.to_token_stream()))
}

fn deref_target(
    sources: &Sources,
    by_definition: &ByDefinition,
    module: ModuleId,
    item: &syn::ItemImpl,
) -> Option<usize> {
    item.items.iter().find_map(|item| match item {
        syn::ImplItem::Type(item) if item.ident == "Target" => match &item.ty {
            Type::Path(ty) => entity_of(sources, by_definition, module, &ty.path, NameSpace::Type),
            _ => None,
        },
        _ => None,
    })
}
