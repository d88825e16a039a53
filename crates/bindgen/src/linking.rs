//! Functions that define imports in a linker: `add_to_linker`.
//!
//! Parameters of types are called `_T` and the like: no type of WIT has such a name.

use crate::generator::{Generator, Scope};
use crate::link_options::{Features, gate};
use crate::names::{host_method, raw, snake, type_name};
use crate::rules::Flags;
use crate::rust_types::Mode;
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use wit_parser::{Function, InterfaceId, TypeId, TypeOwner, WorldItem, WorldKey};

impl Generator<'_> {
    /// Returns the bounds of the store's data.
    pub(crate) fn data_bounds(&self) -> TokenStream {
        match self.options.require_store_data_send {
            true => quote!('static + ::core::marker::Send),
            false => quote!('static),
        }
    }

    /// Generates the functions that define an interface in a linker. `elsewhere` are the traits of other interfaces that it
    /// needs.
    pub(crate) fn link_interface(
        &self,
        scope: Scope<'_>,
        id: InterfaceId,
        key: &WorldKey,
        elsewhere: &[TokenStream],
    ) -> TokenStream {
        let belljar = &self.belljar;
        let interface = &self.resolve.interfaces[id];
        let name = self.resolve.name_world_key(key);
        let options = Features::of_interface(self.resolve, id);
        let parameter = options.parameter();
        let argument = (!options.is_empty()).then(|| quote!(options,));
        let resources = self.resources(id);
        let resources = resources.iter().map(|(id, name)| self.link_resource(scope, *id, name));
        let functions =
            interface.functions.values().map(|func| self.link_function(scope, &raw("Host"), func));
        let body = gate(&interface.stability, quote!(#(#resources)* #(#functions)*));
        let data = self.data_bounds();
        let bounds = quote! {
            _D: HostWithStore<_T>,
            for<'a> _D::Data<'a>: Host #(+ #elsewhere)*,
            _T: #data,
        };
        let docs = format!(
            " Defines the interface as `{name}` in a linker. `host_getter` returns what implements it."
        );
        quote! {
            /// Defines the functions of the interface in an instance of a linker. `host_getter` returns what implements
            /// them.
            pub fn add_to_linker_instance<_T, _D>(
                inst: &mut #belljar::component::LinkerInstance<'_, _T>,
                #parameter
                host_getter: fn(&mut _T) -> _D::Data<'_>,
            ) -> #belljar::Result<()>
            where
                #bounds
            {
                #body
                ::core::result::Result::Ok(())
            }

            #[doc = #docs]
            pub fn add_to_linker<_T, _D>(
                linker: &mut #belljar::component::Linker<_T>,
                #parameter
                host_getter: fn(&mut _T) -> _D::Data<'_>,
            ) -> #belljar::Result<()>
            where
                #bounds
            {
                let mut inst = linker.instance(#name)?;
                add_to_linker_instance::<_T, _D>(&mut inst, #argument host_getter)
            }
        }
    }

    /// Defines a resource: `inst` is the instance.
    pub(crate) fn link_resource(&self, scope: Scope<'_>, id: TypeId, name: &str) -> TokenStream {
        let belljar = &self.belljar;
        let ty = type_name(name);
        let resource = quote!(#belljar::component::Resource::new_own(rep));
        let host = Self::resource_trait(name);
        let dropped = match self.drop_flags(scope, name).store {
            true => {
                let host = format_ident!("{host}WithStore");
                quote! {
                    <_D as #host<_T>>::drop(#belljar::component::Access::new(store, host_getter), #resource)
                }
            }
            false => quote!(#host::drop(&mut host_getter(store.data_mut()), #resource)),
        };
        let dropped = self.host_result_to_ours(dropped);
        let code = quote! {
            inst.resource(
                #name,
                #belljar::component::ResourceType::host::<#ty>(),
                #[allow(unused_mut)]
                move |mut store: #belljar::StoreContextMut<'_, _T>, rep: u32| -> #belljar::Result<()> { #dropped },
            )?;
        };
        gate(&self.resolve.types[id].stability, code)
    }

    /// Defines a function: `inst` is the instance. `host` is the trait for functions that are of no resource.
    pub(crate) fn link_function(&self, scope: Scope<'_>, host: &Ident, func: &Function) -> TokenStream {
        let belljar = &self.belljar;
        let flags = self.import_flags(scope, func);
        let name = &func.name;
        let args: Vec<_> = (0..func.params.len()).map(|i| format_ident!("arg{i}")).collect();
        let types = func.params.iter().map(|param| self.ty(scope, &param.ty, Mode::Owned));
        let method = host_method(func);
        let host = match func.kind.resource() {
            Some(id) => Self::resource_trait(self.resolve.types[id].name.as_deref().unwrap_or_default()),
            None => host.clone(),
        };
        let (before, called) = match flags.store {
            true => {
                let host = format_ident!("{host}WithStore");
                (
                    quote! {
                        let host = #belljar::component::Access::new(
                            #belljar::AsContextMut::as_context_mut(&mut store),
                            host_getter,
                        );
                    },
                    quote!(<_D as #host<_T>>::#method(host, #(#args,)*)),
                )
            }
            false => (
                quote!(let host = &mut host_getter(store.data_mut());),
                quote!(#host::#method(host, #(#args,)*)),
            ),
        };
        let (trace_call, trace_return) = self.trace_import(scope, func, flags);
        let result = self.convert_result(scope, func, flags);
        let code = quote! {
            inst.func_wrap(
                #name,
                move |mut store: #belljar::StoreContextMut<'_, _T>, (#(#args,)*): (#(#types,)*)| {
                    #trace_call
                    #before
                    let r = #called;
                    #trace_return
                    #result
                },
            )?;
        };
        gate(&func.stability, code)
    }

    /// Makes a tuple of what the host's function has returned.
    fn convert_result(&self, scope: Scope<'_>, func: &Function, flags: Flags) -> TokenStream {
        let ok = quote!(::core::result::Result::Ok);
        if !flags.trappable {
            return match func.result {
                Some(_) => quote!(#ok((r,))),
                None => quote!(#ok(r)),
            };
        }
        if let Some((_, error)) = self.trappable_error(func) {
            let def = &self.resolve.types[error];
            let path = match def.owner {
                TypeOwner::Interface(owner) => self.path_to(scope, owner),
                _ => None,
            };
            let convert = format_ident!("convert_{}", snake(def.name.as_deref().unwrap_or_default()));
            let host = match flags.store {
                true => quote!(&mut host_getter(store.data_mut())),
                false => quote!(host),
            };
            let converted = self.host_result_to_ours(quote!(#path Host::#convert(#host, error)));
            return quote! {
                #ok((match r {
                    ::core::result::Result::Ok(value) => ::core::result::Result::Ok(value),
                    ::core::result::Result::Err(error) => ::core::result::Result::Err(#converted?),
                },))
            };
        }
        let r = self.host_result_to_ours(quote!(r));
        match func.result {
            Some(_) => quote!(#ok((#r?,))),
            None => r,
        }
    }

    /// Generates the functions that define all that the world imports.
    pub(crate) fn link_world(&self, own: Option<&Ident>) -> TokenStream {
        let belljar = &self.belljar;
        let world = &self.resolve.worlds[self.world];
        let features = Features::of_world(self.resolve, self.world);
        let parameter = features.parameter();
        let argument = (!features.is_empty()).then(|| quote!(options,));
        let data = self.data_bounds();
        let (mut hosts, mut with_store, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        for (key, item) in &world.imports {
            let WorldItem::Interface { id, stability, .. } = item else { continue };
            let path = self.homes[id].reference();
            hosts.push(quote!(#(#path::)* Host));
            with_store.push(quote!(#(#path::)* HostWithStore<_T>));
            let options = match Features::of_interface(self.resolve, *id).is_empty() {
                true => TokenStream::new(),
                false => quote!(&options.into(),),
            };
            let call = match key {
                // An interface by another name.
                WorldKey::Name(name) if self.resolve.interfaces[*id].name.is_some() => quote! {
                    #(#path::)* add_to_linker_instance::<_T, _D>(&mut linker.instance(#name)?, #options host_getter)?;
                },
                _ => quote!(#(#path::)* add_to_linker::<_T, _D>(linker, #options host_getter)?;),
            };
            calls.push(gate(stability, call));
        }
        if hosts.is_empty() && own.is_none() {
            return TokenStream::new();
        }
        let mut all = TokenStream::new();
        if let Some(own) = own {
            all.extend(self.link_own_imports(own, &parameter));
            let own_with_store = format_ident!("{own}WithStore");
            hosts.push(quote!(#own));
            with_store.push(quote!(#own_with_store<_T>));
            calls.insert(0, quote!(Self::add_to_linker_imports::<_T, _D>(linker, #argument host_getter)?;));
        }
        let body = gate(&world.stability, quote!(#(#calls)*));
        all.extend(quote! {
            /// Defines everything that the world imports in a linker. `host_getter` returns what implements it.
            pub fn add_to_linker<_T, _D>(
                linker: &mut #belljar::component::Linker<_T>,
                #parameter
                host_getter: fn(&mut _T) -> _D::Data<'_>,
            ) -> #belljar::Result<()>
            where
                _D: #(#with_store)+*,
                for<'a> _D::Data<'a>: #(#hosts)+*,
                _T: #data,
            {
                #body
                ::core::result::Result::Ok(())
            }
        });
        all
    }

    /// Generates the function that defines what the world imports outside of interfaces.
    fn link_own_imports(&self, own: &Ident, parameter: &TokenStream) -> TokenStream {
        let belljar = &self.belljar;
        let own_with_store = format_ident!("{own}WithStore");
        let data = self.data_bounds();
        let functions = self.world_functions();
        // Functions of the world can have errors of interfaces, whose traits convert them.
        let mut elsewhere: Vec<_> = functions
            .iter()
            .filter(|func| self.import_flags(Scope::ROOT, func).trappable)
            .filter_map(|func| match self.resolve.types[self.trappable_error(func)?.1].owner {
                TypeOwner::Interface(owner) => self.path_to(Scope::ROOT, owner),
                _ => None,
            })
            .map(|path| quote!(#path Host))
            .collect();
        elsewhere.sort_by_key(ToString::to_string);
        elsewhere.dedup_by_key(|path| path.to_string());
        let resources = self.world_resources();
        let resources = resources.iter().map(|(id, name)| self.link_resource(Scope::ROOT, *id, name));
        let functions = functions.iter().map(|func| self.link_function(Scope::ROOT, own, func));
        let body = gate(&self.resolve.worlds[self.world].stability, quote!(#(#resources)* #(#functions)*));
        quote! {
            /// Defines what the world imports outside of interfaces in a linker. `host_getter` returns what implements it.
            pub fn add_to_linker_imports<_T, _D>(
                linker: &mut #belljar::component::Linker<_T>,
                #parameter
                host_getter: fn(&mut _T) -> _D::Data<'_>,
            ) -> #belljar::Result<()>
            where
                _D: #own_with_store<_T>,
                for<'a> _D::Data<'a>: #own #(+ #elsewhere)*,
                _T: #data,
            {
                let mut inst = linker.root();
                #body
                ::core::result::Result::Ok(())
            }
        }
    }
}
