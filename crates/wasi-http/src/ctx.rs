//! What a guest was granted of HTTP, and where its functions find it.

use crate::budget::{Budget, Charge};
use crate::destination::Destination;
use crate::fields::FieldLimits;
use crate::hooks::WasiHttpHooks;
use crate::network::{AddressCheck, Network};
use crate::request_options::RequestOptions;
use crate::types::ErrorCode;
use belljar::component::ResourceTable;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The default size of the fields of one message.
const DEFAULT_FIELD_SIZE: usize = 128 << 10;

/// How many times the size of one `fields` all those of a guest together may have.
const ALL_FIELDS: usize = 64;

/// How many requests a guest has in flight at most, by default.
const DEFAULT_MAX_REQUESTS: usize = 128;

/// How many denied requests are remembered: a guest can try any number.
const MAX_DENIED: usize = 16;

type Policy = dyn Fn(&Destination) -> bool + Send + Sync;

/// What a guest was granted of HTTP. By default it cannot send requests.
///
/// | limit | default | |
/// |---|---|---|
/// | size of the headers, or trailers, of a message | 128 KiB | [`set_field_size_limit`](Self::set_field_size_limit) |
/// | size of all `fields` of the guest, and texts of its requests | 64 times that | |
/// | requests in flight | 128 | [`set_max_requests`](Self::set_max_requests) |
/// | connecting; the first byte of a response; the next bytes | 10 minutes each | [`set_default_options`](Self::set_default_options) |
/// | bytes of a body between guest and network, each way | 64 KiB | |
///
/// A request is in flight as long as the guest has its `outgoing-body`, `future-incoming-response`, `incoming-response`,
/// or the body of that. The size of a field is that of its name and value, and 32 more, as in HTTP/2.
///
/// Clones share what is in use, and what was denied.
///
/// ```
/// let mut http = belljar_wasi_http::WasiHttpCtx::new();
/// http.allow_requests(|to| to.host() == "example.com" && to.port() == 443).set_max_requests(8);
/// // ... run a guest ...
/// for denied in http.denied_requests() {
///     eprintln!("the guest was denied a request to {denied}");
/// }
/// ```
#[derive(Clone)]
pub struct WasiHttpCtx {
    policy: Arc<Policy>,
    denied: Arc<Mutex<Vec<Destination>>>,
    network: Network,
    fields: FieldLimits,
    requests: Budget,
    options: RequestOptions,
}

impl Default for WasiHttpCtx {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WasiHttpCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasiHttpCtx").field("fields", &self.fields).finish_non_exhaustive()
    }
}

impl WasiHttpCtx {
    /// Creates a context that allows no requests.
    pub fn new() -> Self {
        Self {
            policy: Arc::new(|_| false),
            denied: Arc::default(),
            network: Network {
                addresses: None,
                max_headers: DEFAULT_FIELD_SIZE,
                #[cfg(feature = "tls")]
                trust: Default::default(),
            },
            fields: FieldLimits {
                size: DEFAULT_FIELD_SIZE,
                all: Budget::new(DEFAULT_FIELD_SIZE * ALL_FIELDS),
            },
            requests: Budget::new(DEFAULT_MAX_REQUESTS),
            options: RequestOptions::default(),
        }
    }

    /// Allows requests to the destinations for which `check` returns true. Replaces what was allowed before.
    pub fn allow_requests(
        &mut self,
        check: impl Fn(&Destination) -> bool + Send + Sync + 'static,
    ) -> &mut Self {
        self.policy = Arc::new(check);
        self
    }

    /// Allows all requests. A guest then reaches whatever this process does, such as other services of this computer.
    pub fn allow_all_requests(&mut self) -> &mut Self {
        self.allow_requests(|_| true)
    }

    /// Restricts requests that are allowed to the addresses for which `check` returns true, after names were looked up.
    /// The guest gets `destination-IP-prohibited` for others. Default: all addresses.
    ///
    /// ```
    /// use std::net::IpAddr;
    ///
    /// // Anything but this computer, and networks that are private.
    /// let mut http = belljar_wasi_http::WasiHttpCtx::new();
    /// http.allow_all_requests().allow_addresses(|address| match address.ip() {
    ///     IpAddr::V4(ip) => !(ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()),
    ///     IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified()),
    /// });
    /// ```
    pub fn allow_addresses(
        &mut self,
        check: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
    ) -> &mut Self {
        let check: Arc<AddressCheck> = Arc::new(check);
        self.network.addresses = Some(check);
        self
    }

    /// Trusts servers with certificates of this authority, beside those in Mozilla's list.
    ///
    /// # Errors
    ///
    /// Returns an error if `der` is not a certificate in DER.
    #[cfg(feature = "tls")]
    pub fn add_root_certificate(&mut self, der: &[u8]) -> belljar::Result<&mut Self> {
        self.network.trust.add(der)?;
        Ok(self)
    }

    /// Sets how large the headers, or trailers, of one message may be. A guest that adds more fields ends; a response with
    /// more is an error. hyper reads sections below 8 KiB, and of at most 100 fields with HTTP/1.1, in any case.
    pub fn set_field_size_limit(&mut self, bytes: usize) -> &mut Self {
        (self.fields.size, self.network.max_headers) = (bytes, bytes);
        self.fields.all.set_limit(bytes.saturating_mul(ALL_FIELDS));
        self
    }

    /// Sets how many requests the guest may have in flight. Beyond that, it gets `connection-limit-reached`.
    pub fn set_max_requests(&mut self, count: usize) -> &mut Self {
        self.requests.set_limit(count);
        self
    }

    /// Sets the options of requests for which the guest sets none itself. What is `None` is ten minutes.
    pub fn set_default_options(&mut self, options: RequestOptions) -> &mut Self {
        self.options = options;
        self
    }

    /// Returns the destinations of requests that were denied: the first 16, each once. The guest itself only saw
    /// `HTTP-request-denied`.
    pub fn denied_requests(&self) -> Vec<Destination> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Checks that the guest may send a request.
    pub(crate) fn check(&self, to: &Destination) -> Result<(), ErrorCode> {
        if (self.policy)(to) {
            return Ok(());
        }
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        if denied.len() < MAX_DENIED && !denied.contains(to) {
            denied.push(to.clone());
        }
        Err(ErrorCode::HttpRequestDenied)
    }

    /// Counts one more request in flight, as long as the value lives.
    pub(crate) fn begin_request(&self) -> Result<Arc<Charge>, ErrorCode> {
        self.requests.charge(1).map(Arc::new).ok_or(ErrorCode::ConnectionLimitReached)
    }

    pub(crate) fn fields(&self) -> &FieldLimits {
        &self.fields
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    pub(crate) fn default_options(&self) -> RequestOptions {
        self.options
    }
}

/// What the functions of `wasi:http` work on.
pub struct WasiHttpCtxView<'a> {
    /// What the guest was granted.
    pub ctx: &'a mut WasiHttpCtx,
    /// The guest's resources: the same table as that of WASI 0.2.
    pub table: &'a mut ResourceTable,
    /// What the embedder decides itself: `Default::default()` if nothing.
    pub hooks: &'a mut dyn WasiHttpHooks,
}

impl fmt::Debug for WasiHttpCtxView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasiHttpCtxView").field("ctx", &self.ctx).finish_non_exhaustive()
    }
}

/// A store's data that has what the functions of `wasi:http` work on.
pub trait WasiHttpView: Send + 'static {
    /// Returns it.
    fn http(&mut self) -> WasiHttpCtxView<'_>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_requests_are_remembered_once_and_not_all() {
        let mut ctx = WasiHttpCtx::new();
        ctx.allow_requests(|to| to.host() == "example.com" && to.port() == 443);
        let check = |uri: &str| ctx.check(&Destination::of(&uri.parse().unwrap()).unwrap());
        assert_eq!(check("https://EXAMPLE.com/"), Ok(()));
        assert_eq!(check("http://example.com/"), Err(ErrorCode::HttpRequestDenied));
        assert_eq!(check("http://example.com/again"), Err(ErrorCode::HttpRequestDenied));
        assert_eq!(ctx.denied_requests().len(), 1);
        assert_eq!(ctx.clone().denied_requests()[0].to_string(), "http://example.com:80");
        for port in 1..100 {
            assert!(check(&format!("http://example.com:{port}/")).is_err());
        }
        assert_eq!(ctx.denied_requests().len(), MAX_DENIED);
    }
}
