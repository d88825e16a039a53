//! What an embedder can decide itself.

use crate::network::{Network, ResponseFuture};
use crate::{RequestOptions, WasiBody};
use http::uri::Scheme;
use http::{HeaderName, Request, header};

/// Fields that a guest may neither set nor see: they belong to the connection, or tell where a request goes.
pub const DEFAULT_FORBIDDEN_HEADERS: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    HeaderName::from_static("http2-settings"),
];

/// What an embedder can decide itself about requests and responses. Each method has a default.
///
/// ```
/// use belljar_wasi_http::{Network, RequestOptions, ResponseFuture, WasiBody, WasiHttpHooks};
/// use http_body_util::{BodyExt, Full};
///
/// /// Answers requests to one host itself.
/// struct Intercept;
///
/// impl WasiHttpHooks for Intercept {
///     fn send_request(
///         &mut self,
///         request: http::Request<WasiBody>,
///         options: RequestOptions,
///         network: Network,
///     ) -> ResponseFuture {
///         if request.uri().host() != Some("config.internal") {
///             return network.send(request, options);
///         }
///         let body = Full::new("answer = 42".into()).map_err(|never| match never {}).boxed_unsync();
///         Box::pin(async move { Ok(http::Response::new(body)) })
///     }
/// }
/// ```
pub trait WasiHttpHooks: Send {
    /// Returns whether a guest may neither set nor see a field. By default [`DEFAULT_FORBIDDEN_HEADERS`].
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        DEFAULT_FORBIDDEN_HEADERS.contains(name)
    }

    /// Returns whether requests can have this scheme. By default `http` and `https`.
    fn is_supported_scheme(&mut self, scheme: &Scheme) -> bool {
        *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS
    }

    /// Returns whether the header `host` is set to the authority of the request. By default it is.
    fn set_host_header(&mut self) -> bool {
        true
    }

    /// Returns the scheme of a request for which the guest has set none; `None` refuses it. By default `https`.
    fn default_scheme(&mut self) -> Option<Scheme> {
        Some(Scheme::HTTPS)
    }

    /// Sends a request that is allowed. By default to the network.
    ///
    /// The future runs on a thread that all guests share: it must not block. It is dropped when the guest gives the request
    /// up. A response's body is read as the guest reads it.
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: RequestOptions,
        network: Network,
    ) -> ResponseFuture {
        network.send(request, options)
    }
}

/// Decides nothing itself.
struct DefaultHooks;

impl WasiHttpHooks for DefaultHooks {}

/// Returns hooks that are all the default.
pub fn default_hooks() -> &'static mut dyn WasiHttpHooks {
    // The type has no size, so this allocates nothing.
    Box::leak(Box::new(DefaultHooks))
}

impl Default for &mut dyn WasiHttpHooks {
    fn default() -> Self {
        default_hooks()
    }
}
