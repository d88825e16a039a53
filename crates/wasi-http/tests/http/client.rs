//! Requests of a guest.

use crate::guest::{Client, Host};
use crate::server::{respond, serve};
use belljar_wasi::WasiCtxBuilder;
use belljar_wasi_http::bindings::http::types::ErrorCode;
use belljar_wasi_http::{Network, RequestOptions, ResponseFuture, WasiBody, WasiHttpHooks};
use http_body_util::{BodyExt, Full};
use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Numbers of error codes.
mod code {
    pub(super) const DNS_ERROR: u8 = 1;
    pub(super) const IP_PROHIBITED: u8 = 4;
    pub(super) const REFUSED: u8 = 6;
    pub(super) const READ_TIMEOUT: u8 = 9;
    pub(super) const LIMIT: u8 = 11;
    pub(super) const DENIED: u8 = 15;
    pub(super) const URI_INVALID: u8 = 19;
    pub(super) const INCOMPLETE: u8 = 25;
    pub(super) const HEADERS_SIZE: u8 = 26;
    pub(super) const PROTOCOL: u8 = 35;
}

#[test]
fn a_guest_gets_and_posts() {
    let address = serve(|request, to| {
        // Whether the length is told depends on who is faster.
        let head = request.head[..2].join("|");
        let body = String::from_utf8(request.body).unwrap();
        let shown = if body.len() < 100 { body } else { format!("{} bytes", body.len()) };
        respond(to, "200 OK", &format!("{head}: {shown}"));
    });
    let mut client = Client::new(Host::new());
    let answer = client.request(&format!("http://{address}/path?query"), b"");
    assert_eq!(answer, Ok((200, format!("GET /path?query HTTP/1.1|host: {address}: "))));
    let answer = client.request(&format!("http://{address}/"), b"bell jar");
    let head = format!("POST / HTTP/1.1|host: {address}");
    assert_eq!(answer, Ok((200, format!("{head}: bell jar"))));
    // More than waits to be sent at once.
    let answer = client.request(&format!("http://{address}/"), &vec![b'a'; 1 << 20]);
    assert_eq!(answer, Ok((200, format!("{head}: 1048576 bytes"))));
    assert!(client.store.data().table.is_empty());
}

#[test]
fn bodies_of_any_length_and_coding_are_read() {
    let address = serve(|request, to| match &*request.head[0] {
        "GET /large HTTP/1.1" => respond(to, "200 OK", &"x".repeat(3 << 20)),
        "GET /chunked HTTP/1.1" => {
            let chunks = "4\r\nbell\r\n4\r\n jar\r\n0\r\na: b\r\n\r\n";
            write!(to, "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n{chunks}").unwrap();
        }
        _ => write!(to, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end").unwrap(),
    });
    let mut client = Client::new(Host::new());
    let mut get = |path: &str| client.request(&format!("http://{address}/{path}"), b"");
    assert_eq!(get("large").map(|(status, body)| (status, body.len())), Ok((200, 3 << 20)));
    assert_eq!(get("chunked"), Ok((404, "bell jar".into())));
    assert_eq!(get("close"), Ok((200, "to the end".into())));
}

#[test]
fn failures_have_their_error_codes() {
    let address = serve(|request, to| match &*request.head[0] {
        "GET /cut HTTP/1.1" => write!(to, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart").unwrap(),
        "GET /none HTTP/1.1" => {}
        "GET /garbage HTTP/1.1" => write!(to, "bell jar\r\n\r\n").unwrap(),
        "GET /headers HTTP/1.1" => respond(to, &format!("200 OK\r\na: {}", "x".repeat(130 << 10)), ""),
        "GET /chunk HTTP/1.1" => {
            write!(to, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n").unwrap();
        }
        _ => panic!(),
    });
    let mut client = Client::new(Host::new());
    let mut get = |url: &str| client.request(url, b"");
    assert_eq!(get(&format!("http://{address}/cut")), Err(code::INCOMPLETE));
    assert_eq!(get(&format!("http://{address}/none")), Err(code::INCOMPLETE));
    assert_eq!(get(&format!("http://{address}/garbage")), Err(code::PROTOCOL));
    assert_eq!(get(&format!("http://{address}/headers")), Err(code::HEADERS_SIZE));
    assert_eq!(get(&format!("http://{address}/chunk")), Err(code::PROTOCOL));
    assert_eq!(get("http://127.0.0.1:1/"), Err(code::REFUSED));
    assert_eq!(get("http://a.invalid/"), Err(code::DNS_ERROR));
    assert_eq!(get("http://user@127.0.0.1/"), Err(code::URI_INVALID));
}

#[test]
fn nothing_is_allowed_that_the_embedder_does_not_allow() {
    let address = serve(|_, to| respond(to, "200 OK", ""));
    let mut host = Host::new();
    let port = address.port();
    host.http.allow_requests(move |to| to.host() == "127.0.0.1" && to.port() == port);
    let mut client = Client::new(host);
    assert_eq!(client.request(&format!("http://{address}/"), b""), Ok((200, String::new())));
    assert_eq!(client.request(&format!("http://localhost:{port}/"), b"a"), Err(code::DENIED));
    assert_eq!(client.request("https://127.0.0.1/", b""), Err(code::DENIED));
    let denied = client.store.data().http.denied_requests();
    let shown: Vec<_> = denied.iter().map(ToString::to_string).collect();
    assert_eq!(shown, [format!("http://localhost:{port}"), "https://127.0.0.1:443".into()]);

    let mut host = Host::new();
    host.http.allow_addresses(|address| !address.ip().is_loopback());
    let mut client = Client::new(host);
    assert_eq!(client.request(&format!("http://localhost:{port}/"), b""), Err(code::IP_PROHIBITED));
    assert_eq!(client.request(&format!("http://[::ffff:7f00:1]:{port}/"), b""), Err(code::IP_PROHIBITED));
}

#[test]
fn hooks_answer_instead_of_the_network() {
    struct Echo;

    impl WasiHttpHooks for Echo {
        fn send_request(
            &mut self,
            request: http::Request<WasiBody>,
            options: RequestOptions,
            network: Network,
        ) -> ResponseFuture {
            match request.uri().host() {
                Some("echo.internal") => Box::pin(async {
                    let body = request.into_body().collect().await?.to_bytes();
                    Ok(http::Response::new(Full::new(body).map_err(ErrorCode::from).boxed_unsync()))
                }),
                Some("panic.internal") => Box::pin(async { panic!("as a test") }),
                _ => network.send(request, options),
            }
        }
    }

    let address = serve(|_, to| respond(to, "200 OK", "network"));
    let mut client = Client::new(Host { hooks: Box::new(Echo), ..Host::new() });
    assert_eq!(client.request("https://echo.internal/", b"bell jar"), Ok((200, "bell jar".into())));
    assert_eq!(client.request(&format!("http://{address}/"), b""), Ok((200, "network".into())));
    let internal_error = 38;
    assert_eq!(client.request("https://panic.internal/", b""), Err(internal_error));
    assert_eq!(client.request("https://echo.internal/", b"again"), Ok((200, "again".into())));
}

#[test]
fn times_are_limited() {
    let address = serve(|request, to| {
        if request.head[0].contains("/body") {
            write!(to, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart").unwrap();
        }
        std::thread::sleep(Duration::from_millis(500));
    });
    let soon = Some(Duration::from_millis(50));
    let mut host = Host::new();
    host.http.set_default_options(RequestOptions { first_byte_timeout: soon, ..RequestOptions::default() });
    let mut client = Client::new(host);
    assert_eq!(client.request(&format!("http://{address}/"), b""), Err(code::READ_TIMEOUT));

    let mut host = Host::new();
    host.http
        .set_default_options(RequestOptions { between_bytes_timeout: soon, ..RequestOptions::default() });
    let mut client = Client::new(host);
    assert_eq!(client.request(&format!("http://{address}/body"), b""), Err(code::READ_TIMEOUT));
}

#[test]
fn requests_in_flight_are_limited_and_given_back() {
    let address = serve(|_, to| respond(to, "200 OK", "ok"));
    let mut host = Host::new();
    host.http.set_max_requests(2);
    let mut client = Client::new(host);
    for _ in 0..10 {
        assert_eq!(client.request(&format!("http://{address}/"), b"body"), Ok((200, "ok".into())));
    }
    assert_eq!(client.start(&address.to_string()), -1);
    assert_eq!(client.request(&format!("http://{address}/"), b""), Ok((200, "ok".into())));
    assert_eq!(client.start(&address.to_string()), -1);
    assert_eq!(client.start(&address.to_string()), i32::from(code::LIMIT));
    assert_eq!(client.request(&format!("http://{address}/"), b"body"), Err(code::LIMIT));
}

#[test]
fn a_request_ends_with_its_store() {
    let (sender, receiver) = channel();
    let address = serve(move |_, to| {
        sender.send(()).unwrap();
        // Until the guest's side is closed.
        let _ = to.read(&mut [0]);
        sender.send(()).unwrap();
    });
    let mut client = Client::new(Host::new());
    assert_eq!(client.start(&address.to_string()), -1);
    receiver.recv().unwrap();
    assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
    drop(client);
    receiver.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[test]
fn a_guest_that_waits_can_be_killed() {
    let (sender, receiver) = channel();
    let address = serve(move |_, to| {
        sender.send(()).unwrap();
        let _ = to.read(&mut [0]);
    });
    let mut client = Client::new(Host::new());
    let kill = client.store.kill_handle();
    let killer = std::thread::spawn(move || {
        receiver.recv().unwrap();
        kill.kill("as a test").unwrap();
    });
    let start = Instant::now();
    client.try_request(&format!("http://{address}/"), b"").unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(60));
    killer.join().unwrap();
}

#[test]
fn bytes_of_bodies_count_against_the_quotas() {
    let address = serve(|_, to| respond(to, "200 OK", &"x".repeat(1000)));
    let url = format!("http://{address}/");
    // What is no error of HTTP.
    let other = Err(255);
    let client = |wasi: &mut WasiCtxBuilder| Client::new(Host { wasi: wasi.build(), ..Host::new() });
    let mut reader = client(WasiCtxBuilder::new().max_bytes_read(1500));
    assert_eq!(reader.request(&url, b"").map(|(_, body)| body.len()), Ok(1000));
    assert_eq!(reader.request(&url, b""), other);
    assert_eq!(reader.store.data().wasi.limits_exceeded().len(), 1);

    let mut writer = client(WasiCtxBuilder::new().max_bytes_written(5));
    assert!(writer.request(&url, b"12345").is_ok());
    assert!(writer.store.data().wasi.limits_exceeded().is_empty());
    // The guest ends its body where it can write no more.
    assert!(writer.request(&url, b"6").is_ok());
    assert_eq!(writer.store.data().wasi.limits_exceeded().len(), 1);
}
