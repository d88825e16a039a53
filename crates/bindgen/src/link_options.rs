//! Parts of interfaces that are unstable: they are defined only if the user asks for their features (`LinkOptions`).

use crate::generator::Generator;
use crate::names::value;
use proc_macro2::TokenStream;
use quote::quote;
use std::collections::BTreeSet;
use wit_parser::{InterfaceId, Resolve, Stability, WorldId, WorldItem};

/// The unstable features that something has.
#[derive(Default)]
pub(crate) struct Features(BTreeSet<String>);

impl Features {
    pub(crate) fn of_world(resolve: &Resolve, world: WorldId) -> Self {
        let mut features = Self::default();
        let world = &resolve.worlds[world];
        features.add(&world.stability);
        for item in world.imports.values() {
            match item {
                WorldItem::Interface { id, stability, .. } => {
                    features.add(stability);
                    features.0.extend(Self::of_interface(resolve, *id).0);
                }
                WorldItem::Function(func) => features.add(&func.stability),
                WorldItem::Type { id, .. } => features.add(&resolve.types[*id].stability),
            }
        }
        features
    }

    pub(crate) fn of_interface(resolve: &Resolve, id: InterfaceId) -> Self {
        let mut features = Self::default();
        let interface = &resolve.interfaces[id];
        features.add(&interface.stability);
        interface.types.values().for_each(|id| features.add(&resolve.types[*id].stability));
        interface.functions.values().for_each(|func| features.add(&func.stability));
        features
    }

    fn add(&mut self, stability: &Stability) {
        if let Stability::Unstable { feature, .. } = stability {
            self.0.insert(feature.clone());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the parameter for the options, if there are features.
    pub(crate) fn parameter(&self) -> TokenStream {
        match self.is_empty() {
            true => TokenStream::new(),
            false => quote!(options: &LinkOptions,),
        }
    }

    /// Defines the options.
    fn define(&self) -> TokenStream {
        if self.is_empty() {
            return TokenStream::new();
        }
        let names: Vec<_> = self.0.iter().map(|name| value(name)).collect();
        let docs = self
            .0
            .iter()
            .map(|name| format!("Sets whether what is unstable with the feature `{name}` is defined."));
        quote! {
            /// Which unstable parts are defined in a linker. Default: none.
            #[derive(Clone, Debug, Default)]
            pub struct LinkOptions {
                #(#names: bool,)*
            }

            impl LinkOptions {
                #(
                    #[doc = #docs]
                    pub fn #names(&mut self, enabled: bool) -> &mut Self {
                        self.#names = enabled;
                        self
                    }
                )*
            }
        }
    }
}

/// Returns code that runs only if what has this stability is wanted.
pub(crate) fn gate(stability: &Stability, code: TokenStream) -> TokenStream {
    match stability {
        Stability::Unstable { feature, .. } => {
            let feature = value(feature);
            quote!(if options.#feature { #code })
        }
        Stability::Stable { .. } | Stability::Unknown => code,
    }
}

impl Generator<'_> {
    /// Defines the options of the world, if it has something unstable.
    pub(crate) fn world_options(&self) -> TokenStream {
        Features::of_world(self.resolve, self.world).define()
    }

    /// Defines the options of an interface, if it has something unstable.
    pub(crate) fn interface_options(&self, id: InterfaceId) -> TokenStream {
        Features::of_interface(self.resolve, id).define()
    }

    /// Makes the options of an interface from those of the world.
    pub(crate) fn convert_features(&self, id: InterfaceId) -> TokenStream {
        let features = Features::of_interface(self.resolve, id);
        if features.is_empty() {
            return TokenStream::new();
        }
        let path = self.homes[&id].reference();
        let names: Vec<_> = features.0.iter().map(|name| value(name)).collect();
        quote! {
            impl ::core::convert::From<LinkOptions> for #(#path::)* LinkOptions {
                fn from(from: LinkOptions) -> Self {
                    Self::from(&from)
                }
            }

            impl ::core::convert::From<&LinkOptions> for #(#path::)* LinkOptions {
                fn from(from: &LinkOptions) -> Self {
                    let mut to = Self::default();
                    #(to.#names(from.#names);)*
                    to
                }
            }
        }
    }
}
