//! Types of WIT as Rust writes them where they are used.

use crate::facts::{Facts, definition};
use crate::generator::{Generator, Scope};
use crate::names::{camel, raw, type_text};
use crate::options::Ownership;
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::Lifetime;
use wit_parser::{Function, Handle, Type, TypeDefKind, TypeId, TypeOwner};

/// Whether a type owns what it consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Owned,
    /// It borrows lists and strings.
    Borrowed(Life),
}

/// The lifetime of what is borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    /// That of a call: it is not written.
    Call,
    /// `'a`, a parameter of the type.
    A,
    /// `'static`: any lifetime can stand for it.
    Static,
}

impl Life {
    fn name(self) -> Lifetime {
        match self {
            Self::Call => syn::parse_quote!('_),
            Self::A => syn::parse_quote!('a),
            Self::Static => syn::parse_quote!('static),
        }
    }

    fn reference(self) -> TokenStream {
        match self {
            Self::Call => quote!(&),
            life => {
                let name = life.name();
                quote!(&#name)
            }
        }
    }
}

impl Generator<'_> {
    /// Returns a type, as it is written in a scope.
    pub(crate) fn ty(&self, scope: Scope<'_>, ty: &Type, mode: Mode) -> TokenStream {
        let text = match ty {
            Type::Id(id) => return self.ty_of(scope, *id, mode),
            Type::String => {
                return match mode {
                    Mode::Owned => quote!(::std::string::String),
                    Mode::Borrowed(life) => {
                        let reference = life.reference();
                        quote!(#reference str)
                    }
                };
            }
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "i8",
            Type::S16 => "i16",
            Type::S32 => "i32",
            Type::S64 => "i64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            // Refused before.
            Type::ErrorContext => return quote!(()),
        };
        // Not `::core::primitive`: a type of WIT has another case, so it cannot have such a name.
        let name = raw(text);
        quote!(#name)
    }

    /// Returns the type of a payload, or `()` if there is none.
    pub(crate) fn optional_ty(&self, scope: Scope<'_>, ty: Option<&Type>, mode: Mode) -> TokenStream {
        ty.map_or_else(|| quote!(()), |ty| self.ty(scope, ty, mode))
    }

    fn ty_of(&self, scope: Scope<'_>, id: TypeId, mode: Mode) -> TokenStream {
        let def = &self.resolve.types[id];
        if let Some(name) = &def.name {
            return self.named_ty(scope, id, name, mode);
        }
        match &def.kind {
            TypeDefKind::Handle(handle) => self.handle(scope, handle),
            kind => self.structure(scope, kind, mode),
        }
    }

    /// Returns a type by its name.
    fn named_ty(&self, scope: Scope<'_>, id: TypeId, name: &str, mode: Mode) -> TokenStream {
        let facts = self.facts.of(id);
        let borrowed = self.life_of(facts, mode);
        let reference = match (borrowed, mode) {
            // What is not to be owned here, but has a type that owns.
            (None, Mode::Borrowed(life)) if facts.has_list => life.reference(),
            _ => TokenStream::new(),
        };
        let path = self.owner_path(scope, self.resolve.types[id].owner);
        let name = match borrowed {
            Some(_) => self.param_name(name, facts),
            None => self.result_name(name, facts),
        };
        let life = borrowed.map(|life| {
            let life = life.name();
            quote!(<#life>)
        });
        quote!(#reference #path #name #life)
    }

    /// Returns the path to the items of a type's owner, with `::` at the end.
    fn owner_path(&self, scope: Scope<'_>, owner: TypeOwner) -> TokenStream {
        match owner {
            TypeOwner::Interface(id) => self.path_to(scope, id).unwrap_or_default(),
            TypeOwner::World(_) | TypeOwner::None => scope.to_root(),
        }
    }

    /// Returns a type that has no name.
    pub(crate) fn structure(&self, scope: Scope<'_>, kind: &TypeDefKind, mode: Mode) -> TokenStream {
        match kind {
            TypeDefKind::Type(ty) => self.ty(scope, ty, mode),
            TypeDefKind::List(ty) => {
                let within = match self.options.ownership {
                    Ownership::Owning => Mode::Owned,
                    Ownership::Borrowing { .. } => mode,
                };
                let ty = self.ty(scope, ty, within);
                match mode {
                    Mode::Owned => quote!(::std::vec::Vec<#ty>),
                    Mode::Borrowed(life) => {
                        let reference = life.reference();
                        quote!(#reference [#ty])
                    }
                }
            }
            TypeDefKind::FixedLengthList(ty, length) => {
                let (ty, length) = (self.ty(scope, ty, mode), *length as usize);
                quote!([#ty; #length])
            }
            TypeDefKind::Map(key, value) => {
                let (key, value) = (self.ty(scope, key, mode), self.ty(scope, value, mode));
                quote!(::std::collections::HashMap<#key, #value>)
            }
            TypeDefKind::Option(ty) => {
                let ty = self.ty(scope, ty, mode);
                quote!(::core::option::Option<#ty>)
            }
            TypeDefKind::Result(result) => {
                let ok = self.optional_ty(scope, result.ok.as_ref(), mode);
                let err = self.optional_ty(scope, result.err.as_ref(), mode);
                quote!(::core::result::Result<#ok, #err>)
            }
            TypeDefKind::Tuple(tuple) => {
                let types = tuple.types.iter().map(|ty| self.ty(scope, ty, mode));
                quote!((#(#types,)*))
            }
            TypeDefKind::Handle(handle) => self.handle(scope, handle),
            // These always have names, or are refused.
            TypeDefKind::Record(_)
            | TypeDefKind::Variant(_)
            | TypeDefKind::Enum(_)
            | TypeDefKind::Flags(_)
            | TypeDefKind::Resource
            | TypeDefKind::Future(_)
            | TypeDefKind::Stream(_)
            | TypeDefKind::Unknown => quote!(()),
        }
    }

    /// Returns the type of a handle: `Resource<T>` for resources of the host, `ResourceAny` for those of the guest.
    fn handle(&self, scope: Scope<'_>, handle: &Handle) -> TokenStream {
        let belljar = &self.belljar;
        let (Handle::Own(id) | Handle::Borrow(id)) = handle;
        let of_host = match self.resolve.types[definition(self.resolve, *id)].owner {
            TypeOwner::Interface(id) => self.homes.get(&id).is_none_or(|home| home.imported),
            TypeOwner::World(_) | TypeOwner::None => true,
        };
        if !of_host {
            return quote!(#belljar::component::ResourceAny);
        }
        let def = &self.resolve.types[*id];
        let path = self.owner_path(scope, def.owner);
        let name = raw(&type_text(def.name.as_deref().unwrap_or_default()));
        quote!(#belljar::component::Resource<#path #name>)
    }

    /// Returns whether a type has two Rust types: one that owns and one that borrows.
    fn has_two_names(&self, facts: Facts) -> bool {
        let duplicate =
            matches!(self.options.ownership, Ownership::Borrowing { duplicate_if_necessary: true });
        duplicate && facts.has_list && facts.borrowed && facts.owned
    }

    fn param_name(&self, name: &str, facts: Facts) -> Ident {
        match self.has_two_names(facts) {
            true => raw(&format!("{}Param", camel(name))),
            false => raw(&type_text(name)),
        }
    }

    fn result_name(&self, name: &str, facts: Facts) -> Ident {
        match self.has_two_names(facts) {
            true => raw(&format!("{}Result", camel(name))),
            false => raw(&type_text(name)),
        }
    }

    /// Returns the lifetime parameter of a type in this mode, if it has one.
    pub(crate) fn life_of(&self, facts: Facts, mode: Mode) -> Option<Life> {
        match (self.options.ownership, mode) {
            (Ownership::Borrowing { .. }, Mode::Borrowed(life)) if facts.has_list => {
                (self.has_two_names(facts) || (facts.borrowed && !facts.owned)).then_some(life)
            }
            _ => None,
        }
    }

    /// Returns the Rust types to define for a type: their names, and what they own.
    pub(crate) fn forms(&self, name: &str, facts: Facts) -> Vec<(Ident, Mode)> {
        let borrows = matches!(self.options.ownership, Ownership::Borrowing { .. });
        let only_borrowed = borrows && facts.borrowed && !facts.owned;
        let first = if only_borrowed { Mode::Borrowed(Life::A) } else { Mode::Owned };
        let mut forms = vec![(self.result_name(name, facts), first)];
        if self.has_two_names(facts) {
            forms.push((self.param_name(name, facts), Mode::Borrowed(Life::A)));
        }
        forms
    }

    /// Returns the types of a function as tuples: parameters and result.
    pub(crate) fn signature(&self, scope: Scope<'_>, func: &Function, params: Mode) -> TokenStream {
        let types = func.params.iter().map(|param| self.ty(scope, &param.ty, params));
        let result = func.result.iter().map(|ty| self.ty(scope, ty, Mode::Owned));
        quote!((#(#types,)*), (#(#result,)*))
    }
}
