//! The world `wasi:http/proxy`: a component that answers requests.

use crate::messages::{IncomingRequest, ResponseOutparam};
use belljar::component::{Component, Instance, InstancePre, Linker, Resource, TypedFunc};
use belljar::error::Context;
use belljar::{AsContextMut, OutsideText, Result};

/// The name of the interface that such a component exports.
const HANDLER: &str = "wasi:http/incoming-handler@0.2.12";

/// An instance of a component that exports `wasi:http/incoming-handler`.
#[derive(Clone, Debug)]
pub struct Proxy {
    handler: IncomingHandler,
}

/// The functions of `wasi:http/incoming-handler`.
#[derive(Clone, Debug)]
pub struct IncomingHandler {
    handle: TypedFunc<(Resource<IncomingRequest>, Resource<ResponseOutparam>), ()>,
}

/// A component whose imports were found, to instantiate any number of times.
#[derive(Debug)]
pub struct ProxyPre<T: 'static> {
    pre: InstancePre<T>,
}

impl<T: 'static> Clone for ProxyPre<T> {
    fn clone(&self) -> Self {
        Self { pre: self.pre.clone() }
    }
}

impl<T: 'static> ProxyPre<T> {
    /// Wraps a component whose imports were found.
    ///
    /// # Errors
    ///
    /// Returns no error: whether it answers requests is found out by [`ProxyPre::instantiate`].
    pub fn new(pre: InstancePre<T>) -> Result<Self> {
        Ok(Self { pre })
    }

    /// Returns the component whose imports were found.
    pub fn instance_pre(&self) -> &InstancePre<T> {
        &self.pre
    }

    /// Creates an instance.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be created, or does not answer requests.
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Proxy> {
        let mut store = store.as_context_mut();
        let instance = self.pre.instantiate(&mut store)?;
        Proxy::new(&mut store, &instance)
    }
}

impl Proxy {
    /// Creates an instance.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be created, or does not answer requests.
    pub fn instantiate<T: 'static>(
        store: impl AsContextMut<Data = T>,
        component: &Component,
        linker: &Linker<T>,
    ) -> Result<Self> {
        ProxyPre::new(linker.instantiate_pre(component)?)?.instantiate(store)
    }

    /// Takes an instance.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not export `wasi:http/incoming-handler` with a function `handle` of the right type.
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub fn new(mut store: impl AsContextMut, instance: &Instance) -> Result<Self> {
        let store = store.as_context_mut();
        let func = instance.get_func_at(&store, &[HANDLER, "handle"]).with_context(|| {
            format!(
                "the component answers no requests: it exports no function `handle` in {}, nor in a version that is compatible",
                OutsideText::new(HANDLER)
            )
        })?;
        Ok(Self { handler: IncomingHandler { handle: func.typed(&store)? } })
    }

    /// Returns the functions of `wasi:http/incoming-handler`.
    pub fn wasi_http_incoming_handler(&self) -> &IncomingHandler {
        &self.handler
    }
}

impl IncomingHandler {
    /// Lets the guest answer a request. It may set the response long before this returns.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not return.
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub fn call_handle(
        &self,
        store: impl AsContextMut,
        request: Resource<IncomingRequest>,
        response_out: Resource<ResponseOutparam>,
    ) -> Result<()> {
        self.handle.call(store, (request, response_out))
    }
}
