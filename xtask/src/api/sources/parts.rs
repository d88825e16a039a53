//! The items inside of `impl` blocks and traits, as far as macros that stand among them concern both.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, ImplItem, Macro, TraitItem};

/// An item inside of an `impl` block or a trait.
pub(super) trait Part: Sized {
    /// Returns the macro that this invokes, if it is an invocation, with its attributes.
    fn invocation(&self) -> Option<(&Macro, &[Attribute])>;

    /// Parses what a macro produced.
    fn parse(tokens: TokenStream) -> syn::Result<Vec<Self>>;

    /// Returns the item's attributes, if it is of a kind that counts or a macro.
    fn attributes(&mut self) -> Option<&mut Vec<Attribute>>;
}

impl Part for ImplItem {
    fn invocation(&self) -> Option<(&Macro, &[Attribute])> {
        match self {
            Self::Macro(part) => Some((&part.mac, &part.attrs)),
            _ => None,
        }
    }

    fn parse(tokens: TokenStream) -> syn::Result<Vec<Self>> {
        Ok(syn::parse2::<syn::ItemImpl>(quote!(impl Expanded { #tokens }))?.items)
    }

    fn attributes(&mut self) -> Option<&mut Vec<Attribute>> {
        match self {
            Self::Const(part) => Some(&mut part.attrs),
            Self::Fn(part) => Some(&mut part.attrs),
            Self::Macro(part) => Some(&mut part.attrs),
            Self::Type(part) => Some(&mut part.attrs),
            _ => None,
        }
    }
}

impl Part for TraitItem {
    fn invocation(&self) -> Option<(&Macro, &[Attribute])> {
        match self {
            Self::Macro(part) => Some((&part.mac, &part.attrs)),
            _ => None,
        }
    }

    fn parse(tokens: TokenStream) -> syn::Result<Vec<Self>> {
        Ok(syn::parse2::<syn::ItemTrait>(quote!(trait Expanded { #tokens }))?.items)
    }

    fn attributes(&mut self) -> Option<&mut Vec<Attribute>> {
        match self {
            Self::Const(part) => Some(&mut part.attrs),
            Self::Fn(part) => Some(&mut part.attrs),
            Self::Macro(part) => Some(&mut part.attrs),
            Self::Type(part) => Some(&mut part.attrs),
            _ => None,
        }
    }
}
