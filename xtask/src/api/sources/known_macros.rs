//! Macros of other crates whose definitions are not read: those that are expanded here, and the table of those that are
//! left alone because they define nothing that counts.

use super::cfg::{Cfg, hold};
use anyhow::{Result, bail};
use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};

/// Macros that are left alone, each with the reason.
const LEFT_ALONE: &[(&str, &str)] = &[
    ("bindgen", "bindings of components"),
    ("from_witx", "a private module"),
    ("global_asm", "no items"),
    ("include", "private types of wasmi_ir, written by its build script"),
    ("thread_local", "private statics"),
    ("wasmtime_integration", "functions of one module that Wasmtime's `add_to_linker` functions call"),
];

/// Macros of wasmparser that call another one with all instructions. They are expanded with none: what is defined per
/// instruction does not count, but what is defined around it does.
const INSTRUCTIONS: &[&str] =
    &["for_each_operator", "for_each_visit_operator", "for_each_visit_simd_operator"];

/// Returns whether [`expand`] can expand a macro.
pub(super) fn expands(name: &str) -> bool {
    matches!(name, "bitflags" | "cfg_select") || INSTRUCTIONS.contains(&name)
}

/// Returns what a macro produces, or an error that says why that is not known.
pub(super) fn expand(name: &str, tokens: &TokenStream) -> Result<TokenStream> {
    match name {
        "bitflags" => Ok(syn::parse2::<BitFlags>(tokens.clone())?.0),
        "cfg_select" => select(tokens.clone()),
        name if INSTRUCTIONS.contains(&name) => Ok(quote!(#tokens! {})),
        _ => match LEFT_ALONE.iter().find(|(known, _)| *known == name) {
            Some((_, why)) => bail!("left alone: {why}"),
            None => bail!("defined nowhere in the sources that are read"),
        },
    }
}

/// Returns the items of the first arm of a `cfg_select!` whose condition holds.
fn select(tokens: TokenStream) -> Result<TokenStream> {
    let is_punct = |token: Option<&TokenTree>, wanted: char| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted);
    let mut condition = TokenStream::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if !(is_punct(Some(&token), '=') && is_punct(tokens.peek(), '>')) {
            condition.extend([token]);
            continue;
        }
        tokens.next();
        let Some(TokenTree::Group(body)) = tokens.next() else { bail!("an arm of cfg_select! is no block") };
        let condition = std::mem::take(&mut condition);
        if condition.to_string() == "_" || hold(&[Cfg::new(&syn::parse2(condition)?)], &[]) {
            return Ok(body.stream());
        }
        if is_punct(tokens.peek(), ',') {
            tokens.next();
        }
    }
    Ok(TokenStream::new())
}

/// The structs that a `bitflags!` defines, with their constants and the methods that people use.
struct BitFlags(TokenStream);

impl Parse for BitFlags {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut items = TokenStream::new();
        while !input.is_empty() {
            let attributes = input.call(syn::Attribute::parse_outer)?;
            if input.peek(syn::Token![impl]) {
                // `impl Name: bits { … }` for a type that is defined elsewhere.
                input.parse::<syn::Token![impl]>()?;
                let (name, body) = flags_body(input)?;
                items.extend(quote!(impl #name { #body }));
                continue;
            }
            let visibility: syn::Visibility = input.parse()?;
            input.parse::<syn::Token![struct]>()?;
            let (name, body) = flags_body(input)?;
            items.extend(quote!(#(#attributes)* #visibility struct #name(()); impl #name { #body }));
        }
        Ok(Self(items))
    }
}

fn flags_body(input: ParseStream<'_>) -> syn::Result<(syn::Ident, TokenStream)> {
    let name: syn::Ident = input.parse()?;
    input.parse::<syn::Token![:]>()?;
    let bits: syn::Type = input.parse()?;
    let content;
    syn::braced!(content in input);
    let mut body = TokenStream::new();
    while !content.is_empty() {
        let attributes = content.call(syn::Attribute::parse_outer)?;
        content.parse::<syn::Token![const]>()?;
        let flag = content.call(syn::Ident::parse_any)?;
        content.parse::<syn::Token![=]>()?;
        content.parse::<syn::Expr>()?;
        content.parse::<syn::Token![;]>()?;
        if flag != "_" {
            body.extend(quote!(#(#attributes)* pub const #flag: Self = Self(());));
        }
    }
    body.extend(quote! {
        pub const fn empty() -> Self {}
        pub const fn all() -> Self {}
        pub const fn bits(&self) -> #bits {}
        pub const fn from_bits(bits: #bits) -> Option<Self> {}
        pub const fn from_bits_truncate(bits: #bits) -> Self {}
        pub const fn is_empty(&self) -> bool {}
        pub const fn is_all(&self) -> bool {}
        pub const fn contains(&self, other: Self) -> bool {}
        pub const fn intersects(&self, other: Self) -> bool {}
        pub const fn union(self, other: Self) -> Self {}
        pub const fn intersection(self, other: Self) -> Self {}
        pub const fn difference(self, other: Self) -> Self {}
        pub fn insert(&mut self, other: Self) {}
        pub fn remove(&mut self, other: Self) {}
        pub fn set(&mut self, other: Self, value: bool) {}
    });
    Ok((name, body))
}
