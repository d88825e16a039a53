//! The modules that code is put in.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

/// Modules, with code and modules in them.
#[derive(Default)]
pub(crate) struct Modules {
    code: TokenStream,
    within: Vec<(Ident, Self)>,
}

impl Modules {
    /// Adds code to the module with a path.
    pub(crate) fn add(&mut self, path: &[Ident], code: TokenStream) {
        match path.split_first() {
            None => self.code.extend(code),
            Some((first, rest)) => {
                let at = self.within.iter().position(|(name, _)| name == first).unwrap_or_else(|| {
                    self.within.push((first.clone(), Self::default()));
                    self.within.len() - 1
                });
                self.within[at].1.add(rest, code);
            }
        }
    }

    pub(crate) fn into_code(self) -> TokenStream {
        let code = self.code;
        let within = self.within.into_iter().map(|(name, module)| {
            let code = module.into_code();
            quote! {
                #[allow(clippy::all, missing_docs, unused_qualifications)]
                pub mod #name { #code }
            }
        });
        quote!(#code #(#within)*)
    }
}
