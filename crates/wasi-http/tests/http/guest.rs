//! Guests in text format, and the data of their stores.

use belljar::component::{Component, Linker, ResourceTable};
use belljar::{Engine, Result, Store};
use belljar_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use belljar_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView, default_hooks};

/// The data of a store.
pub(crate) struct Host {
    pub(crate) wasi: WasiCtx,
    pub(crate) http: WasiHttpCtx,
    pub(crate) table: ResourceTable,
    pub(crate) hooks: Box<dyn WasiHttpHooks>,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut *self.hooks }
    }
}

struct NoHooks;

impl WasiHttpHooks for NoHooks {}

impl Host {
    /// Creates the data of a guest that may send all requests.
    pub(crate) fn new() -> Self {
        // The default, wherever a reference is enough.
        let _: &mut dyn WasiHttpHooks = default_hooks();
        let mut http = WasiHttpCtx::new();
        http.allow_all_requests();
        let wasi = WasiCtxBuilder::new().build();
        Self { wasi, http, table: ResourceTable::new(), hooks: Box::new(NoHooks) }
    }
}

pub(crate) fn engine() -> &'static Engine {
    static ENGINE: std::sync::OnceLock<Engine> = std::sync::OnceLock::new();
    ENGINE.get_or_init(Engine::default)
}

pub(crate) fn linker() -> Linker<Host> {
    let mut linker = Linker::new(engine());
    belljar_wasi_http::add_to_linker_sync(&mut linker).unwrap();
    linker
}

/// Compiles a guest whose text follows the imports that all have.
pub(crate) fn component(text: &str) -> Component {
    let all = format!("(component\n{}{text})", include_str!("imports.wat"));
    Component::new(engine(), &all).unwrap()
}

/// The response's status and body, or the number of the error code.
pub(crate) type Answer = std::result::Result<(u16, String), u8>;

/// A guest that sends requests.
pub(crate) struct Client {
    pub(crate) store: Store<Host>,
    instance: belljar::component::Instance,
}

impl Client {
    pub(crate) fn new(host: Host) -> Self {
        static COMPONENT: std::sync::OnceLock<Component> = std::sync::OnceLock::new();
        let component = COMPONENT.get_or_init(|| component(include_str!("client.wat")));
        let mut store = Store::new(engine(), host);
        let instance = linker().instantiate(&mut store, component).unwrap();
        Self { store, instance }
    }

    /// Sends a request with this body, if it is not empty, and reads the response.
    pub(crate) fn try_request(&mut self, url: &str, body: &[u8]) -> Result<Answer> {
        type Found = std::result::Result<(u16, Vec<u8>), u8>;
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.split_at(rest.find('/').unwrap());
        let request = self.instance.get_func(&self.store, "request").unwrap();
        let request = request.typed::<(bool, &str, &str, &[u8]), (Found,)>(&self.store)?;
        let (answer,) = request.call(&mut self.store, (scheme == "https", authority, path, body))?;
        Ok(answer.map(|(status, body)| (status, String::from_utf8(body).unwrap())))
    }

    pub(crate) fn request(&mut self, url: &str, body: &[u8]) -> Answer {
        self.try_request(url, body).unwrap()
    }

    /// Begins a request, and does not wait. Returns the number of the error code, or -1.
    pub(crate) fn start(&mut self, authority: &str) -> i32 {
        let start = self.instance.get_func(&self.store, "start").unwrap();
        let start = start.typed::<(&str,), (i32,)>(&self.store).unwrap();
        start.call(&mut self.store, (authority,)).unwrap().0
    }
}
