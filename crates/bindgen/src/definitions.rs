//! Definitions of Rust types for those of WIT.

use crate::generator::{Generator, Scope};
use crate::names::{case, raw, shouty, type_name, value};
use crate::rust_types::Life;
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use wit_parser::{Docs, Enum, Flags, Record, Type, TypeDefKind, TypeId};

/// A case of a variant or an enum.
struct Case<'a> {
    name: &'a str,
    docs: &'a Docs,
    ty: Option<Type>,
}

impl Generator<'_> {
    /// Defines a type.
    pub(crate) fn define(&self, scope: Scope<'_>, name: &str, id: TypeId) -> TokenStream {
        let def = &self.resolve.types[id];
        let docs = self.docs(&def.docs);
        match &def.kind {
            TypeDefKind::Record(record) => self.define_record(scope, name, id, record, &docs),
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter();
                let cases: Vec<_> =
                    cases.map(|case| Case { name: &case.name, docs: &case.docs, ty: case.ty }).collect();
                self.define_variant(scope, name, id, &cases, &docs)
            }
            TypeDefKind::Enum(cases) => self.define_enum(name, id, cases, &docs),
            TypeDefKind::Flags(flags) => self.define_flags(name, flags, &docs),
            TypeDefKind::Resource => self.define_resource(scope, name, id, &docs),
            kind => {
                let facts = self.facts.of(id);
                let forms = self.forms(name, facts).into_iter().map(|(name, mode)| {
                    let life = life(self.life_of(facts, mode));
                    let ty = self.structure(scope, kind, mode);
                    quote!(#docs pub type #name #life = #ty;)
                });
                forms.collect()
            }
        }
    }

    /// Returns the attributes of a type that derives the traits for values.
    fn derives(&self, kind: &str, lifts: bool, others: &[&str]) -> TokenStream {
        let belljar = &self.belljar;
        let kind = raw(kind);
        let lift = lifts.then(|| quote!(#[derive(#belljar::component::Lift)]));
        let wanted = &self.options.derives;
        let is_wanted = |name: &str| wanted.iter().any(|path| last_name(path) == name);
        let others = others.iter().filter(|name| !is_wanted(name)).map(|name| {
            let name = raw(name);
            match name == "Clone" || name == "Copy" {
                true => {
                    let module = raw(if name == "Clone" { "clone" } else { "marker" });
                    quote!(::core::#module::#name)
                }
                false => quote!(::core::cmp::#name),
            }
        });
        let all: Vec<_> = others.chain(wanted.iter().map(ToTokens::to_token_stream)).collect();
        let all = (!all.is_empty()).then(|| quote!(#[derive(#(#all),*)]));
        quote! {
            #[derive(#belljar::component::ComponentType)]
            #lift
            #[derive(#belljar::component::Lower)]
            #[component(#kind)]
            #[component(wasmtime_crate = #belljar)]
            #all
        }
    }

    fn copies(&self, id: TypeId) -> &'static [&'static str] {
        match self.facts.of(id) {
            facts if facts.is_copy() => &["Copy", "Clone"],
            facts if facts.is_clone() => &["Clone"],
            _ => &[],
        }
    }

    /// Implements `Debug`, unless the user has it derived.
    fn debug(&self, name: &Ident, life: &TokenStream, body: TokenStream) -> TokenStream {
        if self.options.derives.iter().any(|path| last_name(path) == "Debug") {
            return TokenStream::new();
        }
        quote! {
            impl #life ::core::fmt::Debug for #name #life {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    #body
                }
            }
        }
    }

    /// Implements `Error`, for the error of a function.
    fn error(&self, id: TypeId, name: &Ident, life: &TokenStream, display: TokenStream) -> TokenStream {
        if !self.facts.of(id).error {
            return TokenStream::new();
        }
        quote! {
            impl #life ::core::fmt::Display for #name #life {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    #display
                }
            }

            impl #life ::core::error::Error for #name #life {}
        }
    }

    fn define_record(
        &self,
        scope: Scope<'_>,
        name: &str,
        id: TypeId,
        record: &Record,
        docs: &TokenStream,
    ) -> TokenStream {
        let facts = self.facts.of(id);
        let forms = self.forms(name, facts).into_iter().map(|(name, mode)| {
            let life_of = self.life_of(facts, mode);
            let derives = self.derives("record", life_of.is_none(), self.copies(id));
            let life = life(life_of);
            let fields: Vec<_> = record.fields.iter().map(|field| value(&field.name)).collect();
            let wit_names: Vec<_> = record.fields.iter().map(|field| &field.name).collect();
            let field_docs = record.fields.iter().map(|field| self.docs(&field.docs));
            let types = record.fields.iter().map(|field| self.ty(scope, &field.ty, mode));
            let text = name.to_string();
            let debug = quote!(f.debug_struct(#text)#(.field(#wit_names, &self.#fields))*.finish());
            let debug = self.debug(&name, &life, debug);
            let error = self.error(id, &name, &life, quote!(::core::write!(f, "{self:?}")));
            quote! {
                #docs
                #derives
                pub struct #name #life {
                    #(#field_docs #[component(name = #wit_names)] pub #fields: #types,)*
                }
                #debug
                #error
            }
        });
        forms.collect()
    }

    fn define_variant(
        &self,
        scope: Scope<'_>,
        name: &str,
        id: TypeId,
        cases: &[Case<'_>],
        docs: &TokenStream,
    ) -> TokenStream {
        let facts = self.facts.of(id);
        let forms = self.forms(name, facts).into_iter().map(|(name, mode)| {
            let life_of = self.life_of(facts, mode);
            let derives = self.derives("variant", life_of.is_none(), self.copies(id));
            let life = life(life_of);
            let names: Vec<_> = cases.iter().map(|of| case(of.name)).collect();
            let wit_names = cases.iter().map(|case| case.name);
            let case_docs = cases.iter().map(|case| self.docs(case.docs));
            let payloads = cases.iter().map(|case| {
                let ty = self.ty(scope, case.ty.as_ref()?, mode);
                Some(quote!((#ty)))
            });
            let shown = self.show_cases(&name, cases);
            let debug = self.debug(&name, &life, shown);
            let error = self.error(id, &name, &life, quote!(::core::write!(f, "{self:?}")));
            quote! {
                #docs
                #derives
                pub enum #name #life {
                    #(#case_docs #[component(name = #wit_names)] #names #payloads,)*
                }
                #debug
                #error
            }
        });
        forms.collect()
    }

    /// Shows a value as `Name::Case(payload)`.
    fn show_cases(&self, name: &Ident, cases: &[Case<'_>]) -> TokenStream {
        let arms = cases.iter().map(|of| {
            let case = case(of.name);
            let text = format!("{name}::{case}");
            match of.ty {
                Some(_) => quote!(Self::#case(payload) => f.debug_tuple(#text).field(payload).finish(),),
                None => quote!(Self::#case => f.write_str(#text),),
            }
        });
        quote!(match self { #(#arms)* })
    }

    fn define_enum(&self, name: &str, id: TypeId, of: &Enum, docs: &TokenStream) -> TokenStream {
        let name = type_name(name);
        let derives = self.derives("enum", true, &["Copy", "Clone", "PartialEq", "Eq"]);
        let cases: Vec<_> =
            of.cases.iter().map(|case| Case { name: &case.name, docs: &case.docs, ty: None }).collect();
        let names: Vec<_> = cases.iter().map(|of| case(of.name)).collect();
        let wit_names: Vec<_> = cases.iter().map(|case| case.name).collect();
        let case_docs = cases.iter().map(|case| self.docs(case.docs));
        let no_life = TokenStream::new();
        let (described, shown) = match self.facts.of(id).error {
            false => (TokenStream::new(), self.show_cases(&name, &cases)),
            true => self.describe_enum(&name, &cases),
        };
        let debug = self.debug(&name, &no_life, shown);
        let display = quote!(::core::write!(f, "{} (error {})", self.name(), *self as i32));
        let error = self.error(id, &name, &no_life, display);
        quote! {
            #docs
            #derives
            pub enum #name {
                #(#case_docs #[component(name = #wit_names)] #names,)*
            }
            #described
            #debug
            #error
        }
    }

    /// Returns methods of an enum that is an error, and how it is shown by them.
    fn describe_enum(&self, name: &Ident, cases: &[Case<'_>]) -> (TokenStream, TokenStream) {
        let names: Vec<_> = cases.iter().map(|of| case(of.name)).collect();
        let wit_names = cases.iter().map(|case| case.name);
        let messages = cases.iter().map(|case| case.docs.contents.as_deref().unwrap_or_default().trim());
        let methods = quote! {
            impl #name {
                /// Returns the name of the error in WIT.
                pub fn name(&self) -> &'static str {
                    match self {
                        #(Self::#names => #wit_names,)*
                    }
                }

                /// Returns what WIT says of the error.
                pub fn message(&self) -> &'static str {
                    match self {
                        #(Self::#names => #messages,)*
                    }
                }
            }
        };
        let text = name.to_string();
        let shown = quote! {
            f.debug_struct(#text)
                .field("code", &(*self as i32))
                .field("name", &self.name())
                .field("message", &self.message())
                .finish()
        };
        (methods, shown)
    }

    fn define_flags(&self, name: &str, flags: &Flags, docs: &TokenStream) -> TokenStream {
        let belljar = &self.belljar;
        let name = type_name(name);
        let flags = flags.flags.iter().map(|flag| {
            let (docs, wit_name, flag) = (self.docs(&flag.docs), &flag.name, raw(&shouty(&flag.name)));
            quote!(#docs #[component(name = #wit_name)] const #flag;)
        });
        quote! {
            #belljar::component::flags! {
                #docs
                #[component(wasmtime_crate = #belljar)]
                #name { #(#flags)* }
            }
        }
    }

    /// Defines a resource: of the host a type without values, unless `with` names one, and of the guest `ResourceAny`.
    fn define_resource(&self, scope: Scope<'_>, name: &str, id: TypeId, docs: &TokenStream) -> TokenStream {
        let belljar = &self.belljar;
        let ty = type_name(name);
        let of_guest = scope.interface.is_some_and(|(id, _)| !self.homes[&id].imported);
        if of_guest {
            return self.define_guest_resource(name, docs);
        }
        let instead = match scope.interface {
            Some((_, key)) => self.replacement(key, Some(name)),
            None => self.named(name).map(|name| vec![name]),
        };
        let definition = match instead {
            Some(path) => {
                let root = scope.to_root();
                quote!(#docs pub use #root #(#path)::* as #ty;)
            }
            None => quote!(#docs pub enum #ty {}),
        };
        let rep = quote!(#belljar::component::Resource<#ty>);
        let interface = self.resource_host(scope, name, id, &rep);
        quote!(#definition #interface)
    }
}

/// Returns the parameters of a type with this lifetime.
fn life(life: Option<Life>) -> TokenStream {
    life.map(|_| quote!(<'a>)).unwrap_or_default()
}

fn last_name(path: &syn::Path) -> String {
    path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default()
}
