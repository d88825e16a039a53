//! Requests by HTTPS. The certificate is one of `localhost`, signed by itself.

use crate::guest::{Client, Host};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

const CERTIFICATE: &[u8] = include_bytes!("certificate.der");
const KEY: &[u8] = include_bytes!("key.der");

async fn answer(request: http::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, hyper::Error> {
    let version = request.version();
    let body = request.into_body().collect().await?.to_bytes();
    let text = format!("{version:?}: {}", String::from_utf8_lossy(&body));
    Ok(http::Response::new(Full::new(text.into())))
}

/// Starts a server that speaks one protocol.
fn serve(protocol: &'static [u8]) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivatePkcs8KeyDer::from(KEY.to_vec()).into();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(CERTIFICATE.to_vec())], key)
        .unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            // A client that trusts it not ends the connection.
            let Ok(stream) = acceptor.accept(tcp).await else { continue };
            let io = TokioIo::new(stream);
            match protocol {
                b"h2" => {
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(io, service_fn(answer)).await;
                }
                _ => {
                    let builder = hyper::server::conn::http1::Builder::new();
                    let _ = builder.serve_connection(io, service_fn(answer)).await;
                }
            }
        }
    };
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve);
    });
    address
}

#[test]
fn servers_are_trusted_by_their_certificates() {
    let old = serve(b"http/1.1");
    let new = serve(b"h2");
    let mut host = Host::new();
    host.http.add_root_certificate(CERTIFICATE).unwrap();
    assert!(host.http.add_root_certificate(b"no certificate").is_err());
    let mut client = Client::new(host);
    for name in ["127.0.0.1", "localhost"] {
        let url = format!("https://{name}:{}/", old.port());
        assert_eq!(client.request(&url, b"bell jar"), Ok((200, "HTTP/1.1: bell jar".into())));
        let url = format!("https://{name}:{}/", new.port());
        assert_eq!(client.request(&url, b"bell jar"), Ok((200, "HTTP/2.0: bell jar".into())));
        assert_eq!(client.request(&url, b""), Ok((200, "HTTP/2.0: ".into())));
        let large = "x".repeat(1 << 20);
        assert_eq!(client.request(&url, large.as_bytes()), Ok((200, format!("HTTP/2.0: {large}"))));
    }
    let certificate_error = 13;
    let mut stranger = Client::new(Host::new());
    assert_eq!(stranger.request(&format!("https://{old}/"), b""), Err(certificate_error));
    // HTTP, where HTTPS is spoken.
    assert!(stranger.request(&format!("http://{old}/"), b"").is_err());
}
