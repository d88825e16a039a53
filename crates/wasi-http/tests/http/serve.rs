//! A guest that answers requests.

use crate::guest::{Client, Host, component, engine, linker};
use belljar::Store;
use belljar_wasi_http::bindings::http::types::{ErrorCode, Scheme};
use belljar_wasi_http::bindings::sync::{Proxy, ProxyPre};
use belljar_wasi_http::{WasiBody, WasiHttpView};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use std::sync::mpsc::sync_channel;

fn collect(body: WasiBody) -> Result<Bytes, ErrorCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    Ok(runtime.block_on(body.collect())?.to_bytes())
}

#[test]
fn a_guest_answers_a_request_while_it_is_received() {
    let pre =
        ProxyPre::new(linker().instantiate_pre(&component(include_str!("server.wat"))).unwrap()).unwrap();
    // More than there is room for: the response has to be read while the guest writes it.
    let sent: Bytes = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut store = Store::new(engine(), Host::new());
    let proxy = pre.instantiate(&mut store).unwrap();
    let request = http::Request::post("http://example.com/path").body(Full::new(sent.clone())).unwrap();
    let request = store.data_mut().http().new_incoming_request(Scheme::Http, request).unwrap();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let out = store.data_mut().http().new_response_outparam(sender).unwrap();
    let guest = std::thread::spawn(move || {
        proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).unwrap();
    });
    let response = receiver.blocking_recv().unwrap().unwrap();
    assert_eq!(response.status(), 201);
    assert!(collect(response.into_body()).unwrap() == sent);
    guest.join().unwrap();
}

#[test]
fn a_response_is_aborted_that_the_guest_does_not_finish() {
    let mut store = Store::new(engine(), Host::new());
    let component = component(include_str!("server.wat"));
    let proxy = Proxy::instantiate(&mut store, &component, &linker()).unwrap();
    let body = Full::new(Bytes::from_static(b"bell jar"));
    let request = http::Request::post("/path").header("host", "example.com").body(body).unwrap();
    let request = store.data_mut().http().new_incoming_request(Scheme::Https, request).unwrap();
    // Nobody takes the response, so the guest cannot write it: it ends its body nevertheless.
    let (sender, receiver) = sync_channel(1);
    let callback = move |response| drop(sender.send(response));
    let out = store.data_mut().http().new_response_outparam_from_callback(callback).unwrap();
    proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).unwrap();
    assert_eq!(collect(receiver.recv().unwrap().unwrap().into_body()).unwrap(), "bell jar");

    let (sender, receiver) = tokio::sync::oneshot::channel();
    let out = store.data_mut().http().new_response_outparam(sender).unwrap();
    store.data_mut().table.delete(out).unwrap();
    assert!(receiver.blocking_recv().is_err());
}

#[test]
fn a_component_that_answers_no_requests_is_told_apart() {
    let mut store = Store::new(engine(), Host::new());
    let component = component(include_str!("client.wat"));
    let error = Proxy::instantiate(&mut store, &component, &linker()).unwrap_err();
    assert!(error.to_string().starts_with("the component answers no requests"), "{error}");
    drop(Client::new(Host::new()));
}

#[test]
fn requests_without_an_authority_are_refused() {
    let mut host = Host::new();
    let body = Empty::<Bytes>::new();
    let error = host.http().new_incoming_request(Scheme::Http, http::Request::get("/").body(body).unwrap());
    assert!(error.unwrap_err().to_string().starts_with("the request has no authority"));
}
