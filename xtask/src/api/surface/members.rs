//! The members of types and traits: fields, variants, methods, constants.

use super::signature::tidy;
use super::{
    ByDefinition, Description, Entity, Fields, Kind, Member, Output, Receiver, Shape, concrete_arguments,
    entity_of, path_names,
};
use crate::api::sources::{Cfg, Definition, NameSpace, Sources, hold, is_hidden, is_public};
use quote::{ToTokens, quote};
use syn::{Attribute, FnArg, ImplItem, Item, TraitItem, Type};

/// Adds the members of all entities.
pub(super) fn add(
    sources: &Sources,
    by_definition: &ByDefinition,
    entities: &mut [Entity],
    unresolved: &mut Vec<String>,
) {
    for (&id, &index) in by_definition {
        for member in own_members(sources.definition(id)) {
            add_member(&mut entities[index], member, &[]);
        }
    }
    for block in sources.impls().iter().filter(|block| block.item.trait_.is_none()) {
        let Type::Path(ty) = &*block.item.self_ty else { continue };
        let Some(index) = entity_of(sources, by_definition, block.module, &ty.path, NameSpace::Type) else {
            let names = path_names(&ty.path);
            if sources.resolve(block.module, &names, NameSpace::Type).is_none() {
                unresolved.push(format!("impl {}", names.join("::")));
            }
            continue;
        };
        let arguments = concrete_arguments(&ty.path, &block.item.generics);
        for item in &block.item.items {
            if let Some(member) = impl_member(item) {
                add_member(
                    &mut entities[index],
                    Member { arguments: arguments.clone(), ..member },
                    &block.cfgs,
                );
            }
        }
    }
}

fn add_member(entity: &mut Entity, mut member: Member, cfgs: &[Cfg]) {
    // The same under other conditions. A field and a method can have one name.
    let known = entity.members.iter().any(|known| {
        let kinds = [&known, &&member].map(|member| std::mem::discriminant(&member.description.kind));
        known.name == member.name && known.arguments == member.arguments && kinds[0] == kinds[1]
    });
    if hold(&member.cfgs, &[]) && !known {
        member.cfgs.splice(0..0, cfgs.iter().cloned());
        entity.members.push(member);
    }
}

fn member(name: &syn::Ident, description: Description, attributes: &[Attribute]) -> Option<Member> {
    let cfgs = Cfg::of(attributes);
    (!is_hidden(attributes)).then(|| Member { name: name.to_string(), arguments: None, description, cfgs })
}

fn impl_member(item: &ImplItem) -> Option<Member> {
    match item {
        ImplItem::Fn(item) if is_public(&item.vis) => {
            member(&item.sig.ident, function(&item.sig), &item.attrs)
        }
        ImplItem::Const(item) if is_public(&item.vis) => {
            member(&item.ident, constant(&item.ident, &item.ty), &item.attrs)
        }
        _ => None,
    }
}

/// Returns variants, fields and the items of traits.
fn own_members(definition: &Definition) -> Vec<Member> {
    match &*definition.item {
        Item::Struct(item) => item.fields.iter().filter_map(field).collect(),
        Item::Union(item) => item.fields.named.iter().filter_map(field).collect(),
        Item::Enum(item) => item.variants.iter().filter_map(variant).collect(),
        Item::Trait(item) => item.items.iter().filter_map(trait_member).collect(),
        _ => vec![],
    }
}

fn field(field: &syn::Field) -> Option<Member> {
    let (name, ty) = (field.ident.as_ref()?, &field.ty);
    let description = description(Kind::Field, tidy(quote!(#name: #ty)));
    is_public(&field.vis).then(|| member(name, description, &field.attrs))?
}

fn variant(variant: &syn::Variant) -> Option<Member> {
    let name = &variant.ident;
    let mut fields = variant.fields.clone();
    fields.iter_mut().for_each(|field| field.attrs.clear());
    let kind = match &fields {
        syn::Fields::Unit => Fields::Unit,
        syn::Fields::Unnamed(fields) => Fields::Tuple(fields.unnamed.len()),
        syn::Fields::Named(fields) => {
            let mut names: Vec<String> =
                fields.named.iter().filter_map(|field| Some(field.ident.as_ref()?.to_string())).collect();
            names.sort();
            Fields::Named(names)
        }
    };
    member(name, description(Kind::Variant(kind), tidy(quote!(#name #fields))), &variant.attrs)
}

fn trait_member(item: &TraitItem) -> Option<Member> {
    match item {
        TraitItem::Fn(item) => member(&item.sig.ident, function(&item.sig), &item.attrs),
        TraitItem::Const(item) => member(&item.ident, constant(&item.ident, &item.ty), &item.attrs),
        TraitItem::Type(item) => {
            let name = &item.ident;
            member(name, description(Kind::AssociatedType, tidy(quote!(type #name))), &item.attrs)
        }
        _ => None,
    }
}

/// Returns what an item is.
pub(super) fn describe(definition: &Definition) -> Description {
    match &*definition.item {
        Item::Struct(item) => {
            let (name, generics) = (&item.ident, &item.generics);
            description(Kind::Type, tidy(quote!(struct #name #generics)))
        }
        Item::Enum(item) => {
            let (name, generics) = (&item.ident, &item.generics);
            description(Kind::Type, tidy(quote!(enum #name #generics)))
        }
        Item::Union(item) => {
            let name = &item.ident;
            Description { raw: true, ..description(Kind::Type, tidy(quote!(union #name))) }
        }
        Item::Type(item) => {
            let (name, generics, ty) = (&item.ident, &item.generics, &item.ty);
            description(Kind::Type, tidy(quote!(type #name #generics = #ty)))
        }
        Item::Trait(item) => {
            let (safety, name, generics) = (&item.unsafety, &item.ident, &item.generics);
            let (colon, bounds) = (&item.colon_token, &item.supertraits);
            let signature = tidy(quote!(#safety trait #name #generics #colon #bounds));
            Description { raw: safety.is_some(), ..description(Kind::Trait, signature) }
        }
        Item::Fn(item) => function(&item.sig),
        Item::Const(item) => constant(&item.ident, &item.ty),
        Item::Static(item) => constant(&item.ident, &item.ty),
        _ => description(Kind::Macro, format!("macro {}!", definition.name)),
    }
}

fn description(kind: Kind, signature: String) -> Description {
    Description { kind, signature, raw: false }
}

fn constant(name: &syn::Ident, ty: &Type) -> Description {
    description(Kind::Constant, tidy(quote!(const #name: #ty)))
}

fn function(signature: &syn::Signature) -> Description {
    let receiver = signature.receiver().map_or(Receiver::None, |receiver| {
        match (&receiver.reference, &receiver.mutability, &receiver.colon_token) {
            (Some(_), Some(_), _) => Receiver::MutableReference,
            (Some(_), None, _) => Receiver::Reference,
            (None, _, None) => Receiver::Value,
            (None, _, Some(_)) => Receiver::Other,
        }
    });
    let parameters = signature.inputs.iter().filter(|input| matches!(input, FnArg::Typed(_))).count();
    let output = match &signature.output {
        syn::ReturnType::Type(_, ty) => output(ty),
        syn::ReturnType::Default => Output::Other,
    };
    let text = tidy(signature.to_token_stream());
    let raw = signature.unsafety.is_some()
        || ["*mut ", "*const ", "NonNull"].iter().any(|word| text.contains(word));
    Description { kind: Kind::Function(Shape { receiver, parameters, output }), signature: text, raw }
}

fn output(ty: &Type) -> Output {
    let Type::Path(ty) = ty else { return Output::Other };
    match ty.path.segments.last() {
        Some(last) if last.ident == "Result" => Output::Result,
        Some(last) if last.ident == "Option" => Output::Option,
        _ => Output::Other,
    }
}
