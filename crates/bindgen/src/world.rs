//! The world: a struct with what its instances export, and what it takes to make one.

use crate::generator::{Generator, Scope};
use crate::names::{raw, snake, type_text};
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use wit_parser::{InterfaceId, WorldItem, WorldKey};

/// Something that the world exports: a field of the struct and of its indices.
struct Export {
    field: Ident,
    ty: TokenStream,
    index_ty: TokenStream,
    /// Finds it in a component.
    find: TokenStream,
    /// Loads it from an instance.
    load: TokenStream,
    methods: TokenStream,
}

impl Generator<'_> {
    /// Returns the name of the world's struct.
    pub(crate) fn world_name(&self) -> Ident {
        raw(&type_text(&self.resolve.worlds[self.world].name))
    }

    /// Generates the items for the world itself.
    pub(crate) fn world_items(&self) -> TokenStream {
        let world = &self.resolve.worlds[self.world];
        let exports: Vec<_> = world
            .exports
            .iter()
            .filter_map(|(key, item)| match item {
                WorldItem::Interface { id, .. } => Some(self.export_of_interface(*id)),
                WorldItem::Function(func) => Some(self.export_of_function(key, func)),
                WorldItem::Type { .. } => None,
            })
            .collect();
        let own = self.world_trait();
        let (own_name, own_code) = own.map_or_else(Default::default, |(name, code)| (Some(name), code));
        let link = self.link_world(own_name.as_ref());
        let name = self.world_name();
        let pre = self.pre_struct(&name);
        let indices = self.indices_struct(&name, &exports);
        let instance = self.world_struct(&name, &exports, &link);
        quote!(#own_code #pre #indices #instance)
    }

    fn export_of_interface(&self, id: InterfaceId) -> Export {
        let path = &self.homes[&id].path;
        // Without `exports`.
        let name = path[1..].iter().map(|part| part.to_string()).collect::<Vec<_>>().join("_");
        let (field, method) = (format_ident!("interface_{}", snake(&name)), raw(&name));
        let ty = quote!(#(#path::)* Guest);
        let index_ty = quote!(#(#path::)* GuestIndices);
        Export {
            find: quote!(#index_ty::new(instance_pre)?),
            load: quote!(self.#field.load(&mut store, instance)?),
            methods: quote! {
                /// Returns the functions of the interface.
                pub fn #method(&self) -> &#ty {
                    &self.#field
                }
            },
            field,
            ty,
            index_ty,
        }
    }

    fn export_of_function(&self, key: &WorldKey, func: &wit_parser::Function) -> Export {
        let belljar = &self.belljar;
        let field = self.func_field(func);
        let name = self.resolve.name_world_key(key);
        let missing = format!("the component does not export the function `{name}`");
        Export {
            ty: self.func_field_type(Scope::ROOT, func),
            index_ty: quote!(#belljar::component::ComponentExportIndex),
            find: quote! {
                instance_pre
                    .component()
                    .get_export_index(::core::option::Option::None, #name)
                    .ok_or_else(|| #belljar::format_err!(#missing))?
            },
            load: quote!(instance.get_typed_func(&mut store, &self.#field)?),
            methods: self.guest_methods(Scope::ROOT, None, func, quote!(self)),
            field,
        }
    }

    /// Generates the struct of a component with its imports.
    fn pre_struct(&self, name: &Ident) -> TokenStream {
        let belljar = &self.belljar;
        let (pre, indices) = (format_ident!("{name}Pre"), format_ident!("{name}Indices"));
        let world = &self.resolve.worlds[self.world].name;
        let pre_docs = format!(" A component of the world `{world}`, with everything that it imports.");
        quote! {
            #[doc = #pre_docs]
            pub struct #pre<_T: 'static> {
                instance_pre: #belljar::component::InstancePre<_T>,
                indices: #indices,
            }

            impl<_T: 'static> ::core::clone::Clone for #pre<_T> {
                fn clone(&self) -> Self {
                    Self { instance_pre: self.instance_pre.clone(), indices: self.indices.clone() }
                }
            }

            impl<_T: 'static> #pre<_T> {
                /// Finds what the component exports.
                ///
                /// # Errors
                ///
                /// Returns an error if it does not export everything that the world has it export.
                pub fn new(instance_pre: #belljar::component::InstancePre<_T>) -> #belljar::Result<Self> {
                    let indices = #indices::new(&instance_pre)?;
                    ::core::result::Result::Ok(Self { instance_pre, indices })
                }

                /// Returns the component's engine.
                pub fn engine(&self) -> &#belljar::Engine {
                    self.instance_pre.engine()
                }

                /// Returns the component with what it imports.
                pub fn instance_pre(&self) -> &#belljar::component::InstancePre<_T> {
                    &self.instance_pre
                }

                /// Creates an instance.
                ///
                /// # Errors
                ///
                /// Returns an error if there can be no instance, or it exports something of another type.
                pub fn instantiate(
                    &self,
                    mut store: impl #belljar::AsContextMut<Data = _T>,
                ) -> #belljar::Result<#name> {
                    let mut store = store.as_context_mut();
                    let instance = self.instance_pre.instantiate(&mut store)?;
                    self.indices.load(&mut store, &instance)
                }
            }
        }
    }

    /// Generates the struct with the places of exports in a component.
    fn indices_struct(&self, name: &Ident, exports: &[Export]) -> TokenStream {
        let belljar = &self.belljar;
        let indices = format_ident!("{name}Indices");
        let fields: Vec<_> = exports.iter().map(|export| &export.field).collect();
        let index_types = exports.iter().map(|export| &export.index_ty);
        let find = exports.iter().map(|export| &export.find);
        let load = exports.iter().map(|export| &export.load);
        let world = &self.resolve.worlds[self.world].name;
        let index_docs = format!(" Where a component exports what the world `{world}` has it export.");
        quote! {
            #[doc = #index_docs]
            #[derive(Clone)]
            pub struct #indices { #(#fields: #index_types,)* }

            impl #indices {
                /// Finds what the component exports.
                ///
                /// # Errors
                ///
                /// Returns an error if it does not export everything that the world has it export.
                pub fn new<_T>(
                    instance_pre: &#belljar::component::InstancePre<_T>,
                ) -> #belljar::Result<Self> {
                    let _ = instance_pre;
                    ::core::result::Result::Ok(#indices { #(#fields: #find,)* })
                }

                /// Returns what an instance of the component exports.
                ///
                /// # Errors
                ///
                /// Returns an error if something is of another type.
                pub fn load(
                    &self,
                    mut store: impl #belljar::AsContextMut,
                    instance: &#belljar::component::Instance,
                ) -> #belljar::Result<#name> {
                    #[allow(unused_mut, unused_variables)]
                    let mut store = store.as_context_mut();
                    let _ = instance;
                    ::core::result::Result::Ok(#name { #(#fields: #load,)* })
                }
            }
        }
    }

    /// Generates the struct of an instance. `link` are its functions that define imports.
    fn world_struct(&self, name: &Ident, exports: &[Export], link: &TokenStream) -> TokenStream {
        let belljar = &self.belljar;
        let (pre, indices) = (format_ident!("{name}Pre"), format_ident!("{name}Indices"));
        let fields = exports.iter().map(|export| &export.field);
        let types = exports.iter().map(|export| &export.ty);
        let methods = exports.iter().map(|export| &export.methods);
        let world = &self.resolve.worlds[self.world];
        let docs = self.docs(&world.docs);
        let own_docs = format!(" An instance of a component of the world `{}`.", world.name);
        quote! {
            #[doc = #own_docs]
            ///
            #docs
            pub struct #name { #(#fields: #types,)* }

            impl #name {
                /// Creates an instance of a component, with what a linker defines.
                ///
                /// # Errors
                ///
                /// Returns an error if an import is not defined, if there can be no instance, or if it does not export
                /// everything that the world has it export.
                pub fn instantiate<_T>(
                    store: impl #belljar::AsContextMut<Data = _T>,
                    component: &#belljar::component::Component,
                    linker: &#belljar::component::Linker<_T>,
                ) -> #belljar::Result<#name> {
                    #pre::new(linker.instantiate_pre(component)?)?.instantiate(store)
                }

                /// Returns what an instance exports.
                ///
                /// # Errors
                ///
                /// Returns an error if it does not export everything that the world has it export.
                pub fn new(
                    mut store: impl #belljar::AsContextMut,
                    instance: &#belljar::component::Instance,
                ) -> #belljar::Result<#name> {
                    let mut store = store.as_context_mut();
                    let indices = #indices::new(&instance.instance_pre(&store))?;
                    indices.load(&mut store, instance)
                }

                #link
                #(#methods)*
            }
        }
    }
}
