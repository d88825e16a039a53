//! Interfaces that the guest exports: a struct `Guest` with a method for each function, and one for each resource.

use crate::generator::{Generator, Scope};
use crate::names::{camel, item, raw, snake, type_name, value};
use crate::rust_types::{Life, Mode};
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use wit_parser::{Function, FunctionKind, InterfaceId, TypeId, WorldKey};

impl Generator<'_> {
    /// Returns the field for an exported function.
    pub(crate) fn func_field(&self, func: &Function) -> Ident {
        let resource = func.kind.resource().and_then(|id| self.resolve.types[id].name.as_deref());
        let kind = match func.kind {
            FunctionKind::Constructor(_) => "constructor",
            FunctionKind::Static(_) | FunctionKind::StaticGetter(_) | FunctionKind::StaticSetter(_) => {
                "static"
            }
            _ if resource.is_some() => "method",
            _ => "func",
        };
        raw(&snake(&format!("{kind}-{}-{}", resource.unwrap_or_default(), item(func))))
    }

    /// Returns the type of the field for an exported function.
    pub(crate) fn func_field_type(&self, scope: Scope<'_>, func: &Function) -> TokenStream {
        let belljar = &self.belljar;
        let signature = self.signature(scope, func, Mode::Borrowed(Life::Static));
        quote!(#belljar::component::TypedFunc<#signature>)
    }

    /// Generates the module of an interface that the guest exports.
    pub(crate) fn exported_interface(&self, id: InterfaceId, key: &WorldKey) -> TokenStream {
        let scope = Scope { interface: Some((id, key)), depth: self.homes[&id].path.len() };
        let types = self.types(scope, id);
        let functions: Vec<_> = self.resolve.interfaces[id].functions.values().collect();
        let structs = self.guest_structs(scope, &functions, &self.resolve.name_world_key(key));
        let plain = functions.iter().filter(|func| func.kind.resource().is_none());
        let methods = plain.map(|func| self.guest_methods(scope, Some(key), func, quote!(self)));
        let mut resources: Vec<(TypeId, Vec<&Function>)> = Vec::new();
        for func in &functions {
            let Some(id) = func.kind.resource() else { continue };
            match resources.iter_mut().find(|(known, _)| *known == id) {
                Some((_, functions)) => functions.push(func),
                None => resources.push((id, vec![func])),
            }
        }
        let (accessors, of_resources): (Vec<_>, Vec<_>) =
            resources.iter().map(|(id, functions)| self.guest_resource(scope, key, *id, functions)).unzip();
        quote! {
            #types
            #structs

            impl Guest {
                #(#methods)*
                #(#accessors)*
            }

            #(#of_resources)*
        }
    }

    /// Generates the struct with the functions of an interface, and the one with their places.
    fn guest_structs(&self, scope: Scope<'_>, functions: &[&Function], instance: &str) -> TokenStream {
        let belljar = &self.belljar;
        let fields: Vec<_> = functions.iter().map(|func| self.func_field(func)).collect();
        let types = functions.iter().map(|func| self.func_field_type(scope, func));
        let names = functions.iter().map(|func| &func.name);
        let docs = format!(" The functions of the interface `{instance}`, as an instance exports them.");
        let index_docs = format!(" Where a component exports the interface `{instance}`.");
        let missing = format!("the component does not export an instance `{instance}`");
        let missing_func =
            format!("the component's instance `{instance}` does not export the function `{{name}}`");
        quote! {
            #[doc = #docs]
            #[derive(Clone)]
            pub struct Guest { #(#fields: #types,)* }

            #[doc = #index_docs]
            #[derive(Clone)]
            pub struct GuestIndices { #(#fields: #belljar::component::ComponentExportIndex,)* }

            impl GuestIndices {
                /// Finds the functions in a component.
                ///
                /// # Errors
                ///
                /// Returns an error that names the first function that is not there.
                pub fn new<_T>(
                    instance_pre: &#belljar::component::InstancePre<_T>,
                ) -> #belljar::Result<GuestIndices> {
                    let component = instance_pre.component();
                    let instance = component
                        .get_export_index(::core::option::Option::None, #instance)
                        .ok_or_else(|| #belljar::format_err!(#missing))?;
                    #[allow(unused_variables)]
                    let find = |name: &str| {
                        component
                            .get_export_index(::core::option::Option::Some(&instance), name)
                            .ok_or_else(|| #belljar::format_err!(#missing_func))
                    };
                    ::core::result::Result::Ok(GuestIndices { #(#fields: find(#names)?,)* })
                }

                /// Returns the functions of an instance of the component.
                ///
                /// # Errors
                ///
                /// Returns an error if a function is of another type.
                pub fn load(
                    &self,
                    mut store: impl #belljar::AsContextMut,
                    instance: &#belljar::component::Instance,
                ) -> #belljar::Result<Guest> {
                    #[allow(unused_mut, unused_variables)]
                    let mut store = store.as_context_mut();
                    ::core::result::Result::Ok(Guest {
                        #(#fields: instance.get_typed_func(&mut store, &self.#fields)?,)*
                    })
                }
            }
        }
    }

    /// Generates the method that returns the functions of a resource, and these functions.
    fn guest_resource(
        &self,
        scope: Scope<'_>,
        key: &WorldKey,
        id: TypeId,
        functions: &[&Function],
    ) -> (TokenStream, TokenStream) {
        let name = self.resolve.types[id].name.as_deref().unwrap_or_default();
        let (method, guest) = (value(name), format_ident!("Guest{}", camel(name)));
        let methods =
            functions.iter().map(|func| self.guest_methods(scope, Some(key), func, quote!(self.funcs)));
        let docs = format!(" Returns the functions of the resource `{name}`.");
        let accessor = quote! {
            #[doc = #docs]
            pub fn #method(&self) -> #guest<'_> {
                #guest { funcs: self }
            }
        };
        (accessor, quote!(impl #guest<'_> { #(#methods)* }))
    }

    /// Generates the methods for an exported function. `funcs` is what has its field.
    pub(crate) fn guest_methods(
        &self,
        scope: Scope<'_>,
        key: Option<&WorldKey>,
        func: &Function,
        funcs: TokenStream,
    ) -> TokenStream {
        let belljar = &self.belljar;
        let (name, field) = (snake(&item(func)), self.func_field(func));
        let (call, typed) = (format_ident!("call_{name}"), format_ident!("func_{name}"));
        let signature = self.signature(scope, func, Mode::Borrowed(Life::Call));
        let args: Vec<_> = (0..func.params.len()).map(|i| format_ident!("arg{i}")).collect();
        let types = func.params.iter().map(|param| self.ty(scope, &param.ty, Mode::Borrowed(Life::Call)));
        let result = self.optional_ty(scope, func.result.as_ref(), Mode::Owned);
        let docs = self.docs(&func.docs);
        let flags = self.options.exports.flags(self.resolve, key, &func.name);
        let module = key.map_or_else(|| "default".to_owned(), |key| self.resolve.name_world_key(key));
        let span = self.trace_span("wit-bindgen export", &module, func, flags);
        let (pattern, value) = match func.result {
            Some(_) => (quote!((r,)), quote!(r)),
            None => (quote!(()), quote!(())),
        };
        let func_docs = format!(" Returns the function `{}`.", func.name);
        quote! {
            #[doc = #func_docs]
            pub fn #typed(&self) -> #belljar::component::TypedFunc<#signature> {
                #funcs.#field
            }

            #docs
            pub fn #call<_S: #belljar::AsContextMut>(&self, store: _S, #(#args: #types,)*) -> #belljar::Result<#result> {
                #span
                let #pattern = #funcs.#field.call(store, (#(#args,)*))?;
                ::core::result::Result::Ok(#value)
            }
        }
    }

    /// Defines a resource of the guest.
    pub(crate) fn define_guest_resource(&self, name: &str, docs: &TokenStream) -> TokenStream {
        let belljar = &self.belljar;
        let (ty, guest) = (type_name(name), format_ident!("Guest{}", camel(name)));
        let guest_docs = format!(" The functions of the resource `{name}`.");
        quote! {
            #docs
            pub type #ty = #belljar::component::ResourceAny;

            #[doc = #guest_docs]
            #[derive(Clone, Copy)]
            pub struct #guest<'a> {
                #[allow(dead_code)]
                funcs: &'a Guest,
            }
        }
    }
}
