//! Code that reports calls to the crate `tracing`.

use crate::generator::{Generator, Scope};
use crate::names::value;
use crate::rules::Flags;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use wit_parser::{Function, Type, TypeDefKind};

impl Generator<'_> {
    /// Reports a call of an imported function, and its return.
    pub(crate) fn trace_import(
        &self,
        scope: Scope<'_>,
        func: &Function,
        flags: Flags,
    ) -> (TokenStream, TokenStream) {
        let module = match scope.interface {
            Some((id, _)) => self.resolve.interfaces[id].name.as_deref().unwrap_or("<no module>"),
            None => &*self.resolve.worlds[self.world].name,
        };
        let span = self.trace_span("wit-bindgen import", module, func, flags);
        if span.is_empty() {
            return (TokenStream::new(), TokenStream::new());
        }
        let fields = func.params.iter().enumerate().map(|(i, param)| {
            let name = value(&param.name);
            let arg = format_ident!("arg{i}");
            let shown = self.shown(&param.ty, flags, quote!(&#arg));
            quote!(#name = ::tracing::field::debug(#shown),)
        });
        let result = match &func.result {
            Some(ty) => self.shown(ty, flags, quote!(&r)),
            None => quote!(&r),
        };
        (
            quote! {
                #span
                ::tracing::event!(::tracing::Level::TRACE, #(#fields)* "call");
            },
            quote! {
                ::tracing::event!(::tracing::Level::TRACE, result = ::tracing::field::debug(#result), "return");
            },
        )
    }

    /// Enters a span of a function, if calls of it are reported.
    pub(crate) fn trace_span(&self, what: &str, module: &str, func: &Function, flags: Flags) -> TokenStream {
        if !flags.tracing {
            return TokenStream::new();
        }
        let name = &func.name;
        quote! {
            let span = ::tracing::span!(::tracing::Level::TRACE, #what, module = #module, function = #name,);
            let _enter = span.enter();
        }
    }

    /// Returns what is reported of a value: not the contents of lists, unless everything is wanted.
    fn shown(&self, ty: &Type, flags: Flags, value: TokenStream) -> TokenStream {
        match !flags.verbose_tracing && self.contains_list(ty) {
            true => quote!("..."),
            false => value,
        }
    }

    fn contains_list(&self, ty: &Type) -> bool {
        let Type::Id(id) = ty else { return false };
        let optional = |ty: &Option<Type>| ty.is_some_and(|ty| self.contains_list(&ty));
        match &self.resolve.types[*id].kind {
            TypeDefKind::List(_) => true,
            TypeDefKind::Option(ty) | TypeDefKind::Type(ty) | TypeDefKind::FixedLengthList(ty, _) => {
                self.contains_list(ty)
            }
            TypeDefKind::Map(key, value) => self.contains_list(key) || self.contains_list(value),
            TypeDefKind::Result(result) => optional(&result.ok) || optional(&result.err),
            TypeDefKind::Record(record) => record.fields.iter().any(|field| self.contains_list(&field.ty)),
            TypeDefKind::Tuple(tuple) => tuple.types.iter().any(|ty| self.contains_list(ty)),
            TypeDefKind::Variant(variant) => variant.cases.iter().any(|case| optional(&case.ty)),
            _ => false,
        }
    }
}
