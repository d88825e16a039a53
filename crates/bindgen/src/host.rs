//! What the host implements: a trait for each imported interface, for each resource, and for the world.

use crate::facts::definition;
use crate::generator::{Generator, Scope};
use crate::names::{host_method, raw, snake, type_name, value};
use crate::rules::Flags;
use crate::rust_types::Mode;
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use wit_parser::{Function, InterfaceId, Result_, Type, TypeDefKind, TypeId, TypeOwner, WorldItem, WorldKey};

/// A trait to generate.
struct Interface {
    /// What it is for, as its documentation says.
    what: String,
    docs: TokenStream,
    name: Ident,
    methods: Vec<Method>,
    /// The traits of the resources.
    resources: Vec<Ident>,
}

/// A method of a trait.
struct Method {
    docs: TokenStream,
    name: Ident,
    params: Vec<(Ident, TokenStream)>,
    result: TokenStream,
    with_store: bool,
}

impl<'a> Generator<'a> {
    /// Returns the functions of a resource.
    fn functions_of(&self, resource: TypeId) -> Vec<&'a Function> {
        let of_resource = |func: &&Function| func.kind.resource() == Some(resource);
        match self.resolve.types[resource].owner {
            TypeOwner::Interface(id) => {
                self.resolve.interfaces[id].functions.values().filter(of_resource).collect()
            }
            TypeOwner::World(id) => {
                let functions = self.resolve.worlds[id].imports.values().filter_map(|item| match item {
                    WorldItem::Function(func) => Some(func),
                    _ => None,
                });
                functions.filter(of_resource).collect()
            }
            TypeOwner::None => Vec::new(),
        }
    }

    /// Returns the flags of an imported function.
    pub(crate) fn import_flags(&self, scope: Scope<'_>, func: &Function) -> Flags {
        self.options.imports.flags(self.resolve, scope.interface.map(|(_, key)| key), &func.name)
    }

    /// Returns the flags of the function that drops an imported resource.
    pub(crate) fn drop_flags(&self, scope: Scope<'_>, resource: &str) -> Flags {
        let key = scope.interface.map(|(_, key)| key);
        self.options.imports.flags(self.resolve, key, &format!("[drop]{resource}"))
    }

    /// Generates the trait of an imported interface, and the functions that define it in a linker.
    pub(crate) fn host(&self, scope: Scope<'_>, id: InterfaceId, key: &WorldKey) -> TokenStream {
        let interface = &self.resolve.interfaces[id];
        let plain = interface.functions.values().filter(|func| func.kind.resource().is_none());
        let mut methods: Vec<_> = plain.map(|func| self.method(scope, func)).collect();
        let resources = self.resources(id);
        let (conversions, elsewhere) = self.conversions(scope, id);
        methods.extend(conversions);
        let host = self.interface(Interface {
            what: format!("for the interface `{}`", self.resolve.name_world_key(key)),
            docs: self.docs(&interface.docs),
            name: raw("Host"),
            methods,
            resources: resources.iter().map(|(_, name)| Self::resource_trait(name)).collect(),
        });
        let link = self.link_interface(scope, id, key, &elsewhere);
        quote!(#host #link)
    }

    /// Generates the trait of a resource, which has the Rust type `rep`.
    pub(crate) fn resource_host(
        &self,
        scope: Scope<'_>,
        name: &str,
        id: TypeId,
        rep: &TokenStream,
    ) -> TokenStream {
        let result = self.host_result();
        let drop = Method {
            docs: quote!(#[doc = " Drops the resource: nothing owns it any more."]),
            name: raw("drop"),
            params: vec![(raw("rep"), rep.clone())],
            result: quote!(#result<()>),
            with_store: self.drop_flags(scope, name).store,
        };
        let functions = self.functions_of(id);
        self.interface(Interface {
            what: format!("for the resource `{name}`"),
            docs: TokenStream::new(),
            name: Self::resource_trait(name),
            methods: functions.iter().map(|func| self.method(scope, func)).chain([drop]).collect(),
            resources: Vec::new(),
        })
    }

    /// Generates the trait for what the world itself imports, if it does.
    pub(crate) fn world_trait(&self) -> Option<(Ident, TokenStream)> {
        let (functions, resources) = (self.world_functions(), self.world_resources());
        if functions.is_empty() && resources.is_empty() {
            return None;
        }
        let name = format_ident!("{}Imports", self.world_name());
        let plain = functions.iter().filter(|func| func.kind.resource().is_none());
        let code = self.interface(Interface {
            what: format!("for the world `{}` itself", self.resolve.worlds[self.world].name),
            docs: TokenStream::new(),
            name: name.clone(),
            methods: plain.map(|func| self.method(Scope::ROOT, func)).collect(),
            resources: resources.iter().map(|(_, name)| Self::resource_trait(name)).collect(),
        });
        Some((name, code))
    }

    /// Returns the methods that convert errors of an interface which `trappable_error_type` replaces, and the traits of
    /// other interfaces that have such methods and are needed too.
    fn conversions(&self, scope: Scope<'_>, id: InterfaceId) -> (Vec<Method>, Vec<TokenStream>) {
        let interface = &self.resolve.interfaces[id];
        let own = interface.types.values().copied().filter(|id| self.trappable_errors.contains_key(id));
        let mut errors: Vec<TypeId> = own.collect();
        for func in interface.functions.values() {
            errors.extend(self.trappable_error(func).map(|(_, id)| id));
        }
        let (mut methods, mut elsewhere) = (Vec::new(), Vec::new());
        let mut done = Vec::new();
        for id in errors {
            if done.contains(&id) {
                continue;
            }
            done.push(id);
            let def = &self.resolve.types[id];
            let TypeOwner::Interface(owner) = def.owner else { continue };
            if let Some(path) = self.path_to(scope, owner) {
                elsewhere.push(quote!(#path Host));
                continue;
            }
            let (root, error, result) = (scope.to_root(), &self.trappable_errors[&id], self.host_result());
            let name = def.name.as_deref().unwrap_or_default();
            let ty = type_name(name);
            methods.push(Method {
                docs: quote!(#[doc = " Returns the error that the guest gets, or an error that ends its call."]),
                name: format_ident!("convert_{}", snake(name)),
                params: vec![(raw("err"), quote!(#root #error))],
                result: quote!(#result<#ty>),
                with_store: false,
            });
        }
        (methods, elsewhere)
    }

    /// Returns the result of a function whose error `trappable_error_type` replaces, with the error's type.
    pub(crate) fn trappable_error(&self, func: &Function) -> Option<(&'a Result_, TypeId)> {
        let Some(Type::Id(id)) = func.result else { return None };
        let TypeDefKind::Result(result) = &self.resolve.types[id].kind else { return None };
        let Some(Type::Id(error)) = result.err else { return None };
        let error = definition(self.resolve, error);
        self.trappable_errors.contains_key(&error).then_some((result, error))
    }

    /// Returns what the host's function returns.
    fn host_return(&self, scope: Scope<'_>, func: &Function, flags: Flags) -> TokenStream {
        let plain = self.optional_ty(scope, func.result.as_ref(), Mode::Owned);
        if !flags.trappable {
            return plain;
        }
        match self.trappable_error(func) {
            Some((result, error)) => {
                let ok = self.optional_ty(scope, result.ok.as_ref(), Mode::Owned);
                let (root, error) = (scope.to_root(), &self.trappable_errors[&error]);
                quote!(::core::result::Result<#ok, #root #error>)
            }
            None => {
                let result = self.host_result();
                quote!(#result<#plain>)
            }
        }
    }

    fn method(&self, scope: Scope<'_>, func: &Function) -> Method {
        let flags = self.import_flags(scope, func);
        let params = func.params.iter();
        Method {
            docs: self.docs(&func.docs),
            name: host_method(func),
            params: params
                .map(|param| (value(&param.name), self.ty(scope, &param.ty, Mode::Owned)))
                .collect(),
            result: self.host_return(scope, func, flags),
            with_store: flags.store,
        }
    }

    /// Generates a trait, with the trait for functions that get the store (`…WithStore`), and the implementation for
    /// references.
    fn interface(&self, interface: Interface) -> TokenStream {
        let belljar = &self.belljar;
        let Interface { what, docs, name, methods, resources } = interface;
        let (with_store, methods): (Vec<_>, Vec<_>) =
            methods.into_iter().partition(|method| method.with_store);
        let with_store_name = format_ident!("{name}WithStore");
        let of_resources = resources.iter().map(|name| format_ident!("{name}WithStore"));
        let bounds = quote!(#belljar::component::HasData #(+ #of_resources<_T>)*);
        // Whoever has no such functions need not implement the trait.
        let everything = with_store
            .is_empty()
            .then(|| quote!(impl<_H: ?Sized, _T> #with_store_name<_T> for _H where _H: #bounds {}));
        // No parameter of WIT has such a name.
        let access = quote!(access_: #belljar::component::Access<'_, _T, Self>);
        let with_store = with_store.iter().map(|method| method.declare(&access));
        let declared = methods.iter().map(|method| method.declare(&quote!(&mut self)));
        let forwarded = (!self.options.skip_mut_forwarding_impls).then(|| {
            let methods = methods.iter().map(|method| method.forward(&name));
            quote!(impl<_T: #name + ?Sized> #name for &mut _T { #(#methods)* })
        });
        let store_docs = format!(" Functions of [`{name}`] that get the store.");
        let own_docs = format!(" What the host implements {what}.");
        quote! {
            #[doc = #store_docs]
            pub trait #with_store_name<_T>: #bounds { #(#with_store)* }
            #everything

            #[doc = #own_docs]
            #[doc = ""]
            #docs
            pub trait #name: #(#resources)+* { #(#declared)* }
            #forwarded
        }
    }
}

impl Method {
    /// Declares the method. `first` is its first parameter.
    fn declare(&self, first: &TokenStream) -> TokenStream {
        let Self { docs, name, params, result, .. } = self;
        let params = params.iter().map(|(name, ty)| quote!(#name: #ty));
        quote!(#docs fn #name(#first, #(#params,)*) -> #result;)
    }

    /// Implements the method of a trait for a reference, by what it refers to.
    fn forward(&self, of: &Ident) -> TokenStream {
        let Self { name, params, result, .. } = self;
        let names = params.iter().map(|(name, _)| name);
        let params = params.iter().map(|(name, ty)| quote!(#name: #ty));
        quote! {
            fn #name(&mut self, #(#params,)*) -> #result {
                #of::#name(*self, #(#names,)*)
            }
        }
    }
}
