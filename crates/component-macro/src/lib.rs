//! The macros of `belljar::component`: `ComponentType`, `Lift` and `Lower` are derived for Rust structs and enums.
//!
//! | Rust | attribute | WIT |
//! |---|---|---|
//! | a struct with named fields | `#[component(record)]` | `record` |
//! | an enum whose variants have no field or one | `#[component(variant)]` | `variant` |
//! | an enum without fields | `#[component(enum)]` | `enum` |
//!
//! `#[component(name = "…")]` on a field or variant sets its name in WIT. Without it, a name is written with hyphens:
//! `byte_count` is `byte-count`, and `NotFound` is `not-found`.
//!
//! `flags!` defines a type for `flags` of WIT.
//!
//! The generated code is safe: it calls the public functions of `belljar::component`. It names the crate `::belljar`.
//! Where that crate goes by another name, such as `wasmtime`, write `extern crate wasmtime as belljar;` once, or
//! `#[component(wasmtime_crate = wasmtime)]` at a type.

mod parse;

use parse::{Case, Field, Flags, Input, Shape};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

/// Derives `ComponentType`: the correspondence between a Rust type and types of components.
#[proc_macro_derive(ComponentType, attributes(component))]
pub fn component_type(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    derive(input, expand_component_type)
}

/// Derives `Lift`: how values are taken from a component.
#[proc_macro_derive(Lift, attributes(component))]
pub fn lift(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    derive(input, expand_lift)
}

/// Derives `Lower`: how values are passed to a component.
#[proc_macro_derive(Lower, attributes(component))]
pub fn lower(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    derive(input, expand_lower)
}

/// Defines a type for `flags` of WIT: a set of names, each of which is a constant.
///
/// The type is public where no visibility is written. Without `#[component(name = "…")]`, a name is written with
/// hyphens and in small letters. Bits without a name that a guest sets are ignored, as the component model demands.
#[proc_macro]
pub fn flags(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    match syn::parse::<Flags>(input) {
        Ok(Flags { belljar, docs, vis, name, flags }) => {
            let flags = flags.iter().map(|flag| {
                let (docs, member, wit_name) = (&flag.docs, &flag.member, &flag.wit_name);
                quote!(#(#docs)* #member = #wit_name)
            });
            quote!(#belljar::__component_flags! { #(#docs)* #vis #name { #(#flags,)* } }).into()
        }
        Err(error) => error.into_compile_error().into(),
    }
}

fn derive(input: proc_macro::TokenStream, expand: fn(&Input) -> TokenStream) -> proc_macro::TokenStream {
    let parsed = syn::parse(input).and_then(Input::new);
    parsed.map_or_else(|error| error.into_compile_error(), |input| expand(&input)).into()
}

/// Begins an implementation of a trait for the type, whose parameters all implement the trait too.
fn header(input: &Input, of: &str) -> TokenStream {
    let (belljar, name) = (&input.belljar, &input.name);
    let of = format_ident!("{of}");
    let mut generics = input.generics.clone();
    for param in generics.type_params_mut() {
        param.bounds.push(syn::parse_quote!(#belljar::component::#of));
    }
    let (impl_generics, _, _) = generics.split_for_impl();
    let (_, type_generics, where_clause) = input.generics.split_for_impl();
    quote!(impl #impl_generics #belljar::component::#of for #name #type_generics #where_clause)
}

fn expand_component_type(input: &Input) -> TokenStream {
    let belljar = &input.belljar;
    let header = header(input, "ComponentType");
    let body = match &input.shape {
        Shape::Record(fields) => {
            let (names, types) = (fields.iter().map(|f| &f.wit_name), fields.iter().map(|f| &f.ty));
            quote!(derive::check_record(ty, types, &[
                #((#names, <#types as #belljar::component::ComponentType>::check),)*
            ]))
        }
        Shape::Cases(cases) => {
            let cases = cases.iter().map(|case| {
                let name = &case.wit_name;
                match &case.ty {
                    Some(ty) => {
                        quote!((#name, ::core::option::Option::Some(<#ty as #belljar::component::ComponentType>::check)))
                    }
                    None => quote!((#name, ::core::option::Option::None)),
                }
            });
            quote!(derive::check_cases(ty, types, &[#(#cases,)*]))
        }
    };
    quote! {
        #header {
            fn check(
                ty: &#belljar::component::types::Type,
                types: &dyn #belljar::component::HostTypes,
            ) -> #belljar::Result<()> {
                use #belljar::component::__derive as derive;
                #body
            }
        }
    }
}

fn expand_lift(input: &Input) -> TokenStream {
    let belljar = &input.belljar;
    let header = header(input, "Lift");
    let (lift, load) = match &input.shape {
        Shape::Record(fields) => {
            let members: Vec<_> = fields.iter().map(|f| &f.member).collect();
            let index: Vec<_> = (0..fields.len()).collect();
            (
                quote! {
                    let fields = derive::fields(ty)?;
                    ::core::result::Result::Ok(Self {
                        #(#members: #belljar::component::Lift::lift(cx, derive::field(fields, #index)?, flat)?,)*
                    })
                },
                quote! {
                    let fields = derive::fields(ty)?;
                    let address = cx.address();
                    ::core::result::Result::Ok(Self {
                        #(#members: #belljar::component::Lift::load(
                            cx, derive::field(fields, #index)?, derive::place(address, ty, #index, at)?)?,)*
                    })
                },
            )
        }
        Shape::Cases(cases) => {
            let arms = |lifted: TokenStream| {
                let arms = cases.iter().enumerate().map(move |(index, case)| {
                    let (index, variant) = (index as u64, &case.member);
                    match &case.ty {
                        Some(_) => quote!(#index => ::core::result::Result::Ok(Self::#variant(#lifted)),),
                        None => quote!(#index => ::core::result::Result::Ok(Self::#variant),),
                    }
                });
                arms.collect::<TokenStream>()
            };
            let lifts = arms(quote!(#belljar::component::Lift::lift(cx, derive::payload(ty, case)?, flat)?));
            let loads = arms(quote!(#belljar::component::Lift::load(cx, derive::payload(ty, case)?, at)?));
            (
                quote! {
                    derive::lift_case(cx, ty, flat, |cx, case, flat| match case {
                        #lifts
                        _ => derive::invalid(case, ty),
                    })
                },
                quote! {
                    let (case, at) = derive::load_case(cx, ty, at)?;
                    match case {
                        #loads
                        _ => derive::invalid(case, ty),
                    }
                },
            )
        }
    };
    quote! {
        #[allow(unused_variables)]
        #header {
            fn lift(
                cx: &mut #belljar::component::LiftContext<'_>,
                ty: &#belljar::component::types::Type,
                flat: &mut #belljar::component::FlatValues<'_>,
            ) -> #belljar::Result<Self> {
                use #belljar::component::__derive as derive;
                #lift
            }

            fn load(
                cx: &mut #belljar::component::LiftContext<'_>,
                ty: &#belljar::component::types::Type,
                at: u64,
            ) -> #belljar::Result<Self> {
                use #belljar::component::__derive as derive;
                #load
            }
        }
    }
}

fn expand_lower(input: &Input) -> TokenStream {
    let belljar = &input.belljar;
    let header = header(input, "Lower");
    let (lower, store) = match &input.shape {
        Shape::Record(fields) => {
            let members: Vec<_> = fields.iter().map(|Field { member, .. }| member).collect();
            let index: Vec<_> = (0..fields.len()).collect();
            (
                quote! {
                    let fields = derive::fields(ty)?;
                    #(#belljar::component::Lower::lower(&self.#members, cx, derive::field(fields, #index)?, flat)?;)*
                    ::core::result::Result::Ok(())
                },
                quote! {
                    let fields = derive::fields(ty)?;
                    let address = cx.address();
                    #(#belljar::component::Lower::store(
                        &self.#members, cx, derive::field(fields, #index)?, derive::place(address, ty, #index, at)?)?;)*
                    ::core::result::Result::Ok(())
                },
            )
        }
        Shape::Cases(cases) => {
            let arms = |with: TokenStream, without: TokenStream| {
                let arms = cases.iter().enumerate().map(move |(index, Case { member, ty, .. })| {
                    let index = index as u64;
                    match ty {
                        Some(_) => quote!(Self::#member(value) => { let case = #index; #with }),
                        None => quote!(Self::#member => { let case = #index; #without }),
                    }
                });
                arms.collect::<TokenStream>()
            };
            let lowers = arms(
                quote!(derive::lower_case(cx, ty, case, flat, |cx, flat| {
                    #belljar::component::Lower::lower(value, cx, derive::payload(ty, case)?, flat)
                })),
                quote!(derive::lower_case(cx, ty, case, flat, |_, _| ::core::result::Result::Ok(()))),
            );
            let stores = arms(
                quote! {
                    let at = derive::store_case(cx, ty, at, case)?;
                    #belljar::component::Lower::store(value, cx, derive::payload(ty, case)?, at)
                },
                quote!(derive::store_case(cx, ty, at, case).map(::core::mem::drop)),
            );
            (quote!(match self { #lowers }), quote!(match self { #stores }))
        }
    };
    quote! {
        #[allow(unused_variables)]
        #header {
            fn lower(
                &self,
                cx: &mut #belljar::component::LowerContext<'_>,
                ty: &#belljar::component::types::Type,
                flat: &mut #belljar::component::FlatSink,
            ) -> #belljar::Result<()> {
                use #belljar::component::__derive as derive;
                #lower
            }

            fn store(
                &self,
                cx: &mut #belljar::component::LowerContext<'_>,
                ty: &#belljar::component::types::Type,
                at: u64,
            ) -> #belljar::Result<()> {
                use #belljar::component::__derive as derive;
                #store
            }
        }
    }
}
