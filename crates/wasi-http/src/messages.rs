//! The messages that are resources: requests and responses, incoming and outgoing.

use crate::WasiBody;
use crate::budget::Charge;
use crate::ctx::WasiHttpCtxView;
use crate::destination::{Destination, has_port};
use crate::fields::Fields;
use crate::hooks::WasiHttpHooks;
use crate::incoming_body::{IncomingBody, Receiving};
use crate::outgoing_body::Message;
use crate::types::{ErrorCode, Method, Scheme};
use belljar::Result;
use belljar::component::Resource;
use belljar::error::Context;
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A resource `outgoing-request`.
pub struct OutgoingRequest {
    pub(crate) method: Method,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) authority: Option<String>,
    pub(crate) path_with_query: Option<String>,
    pub(crate) headers: Fields,
    pub(crate) body: OutgoingBodyState,
    /// What the texts take of the guest's budget of fields.
    text: Charge,
}

/// Whether the guest has asked for a message's body.
pub(crate) enum OutgoingBodyState {
    None,
    /// What is sent, and what of the guest's budget of requests it takes.
    Open(WasiBody, Option<Arc<Charge>>),
    /// There are too many requests in flight.
    Refused(ErrorCode),
}

/// A request that can be sent.
pub(crate) struct ToSend {
    pub(crate) request: Request<WasiBody>,
    pub(crate) destination: Destination,
    /// What of the guest's budget of requests it takes already, for its body.
    pub(crate) charge: Option<Arc<Charge>>,
}

fn no_body() -> WasiBody {
    Empty::<Bytes>::new().map_err(ErrorCode::from).boxed_unsync()
}

impl OutgoingRequest {
    pub(crate) fn new(view: &WasiHttpCtxView<'_>, mut headers: Fields) -> Result<Self> {
        headers.set_immutable();
        let text = view.ctx.fields().all.charge(0).context("too many requests")?;
        let (scheme, authority, path_with_query) = (None, None, None);
        let body = OutgoingBodyState::None;
        Ok(Self { method: Method::Get, scheme, authority, path_with_query, headers, body, text })
    }

    /// Checks that the texts are no more than the guest may have.
    fn charge(&mut self) -> Result<()> {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let method = if let Method::Other(method) = &self.method { method.len() } else { 0 };
        let scheme = if let Some(Scheme::Other(scheme)) = &self.scheme { scheme.len() } else { 0 };
        let all = method + scheme + length(&self.authority) + length(&self.path_with_query);
        belljar::ensure!(
            self.text.change_to(all),
            "the texts of the guest's requests and its header fields are too large together"
        );
        Ok(())
    }

    pub(crate) fn set_method(&mut self, method: Method) -> Result<Result<(), ()>> {
        if http::Method::try_from(&method).is_err() {
            return Ok(Err(()));
        }
        self.method = method;
        self.charge().map(Ok)
    }

    pub(crate) fn set_scheme(&mut self, scheme: Option<Scheme>) -> Result<Result<(), ()>> {
        if scheme.as_ref().is_some_and(|scheme| http::uri::Scheme::try_from(scheme.as_str()).is_err()) {
            return Ok(Err(()));
        }
        self.scheme = scheme;
        self.charge().map(Ok)
    }

    pub(crate) fn set_authority(&mut self, authority: Option<String>) -> Result<Result<(), ()>> {
        if authority.as_ref().is_some_and(|authority| !is_authority(authority)) {
            return Ok(Err(()));
        }
        self.authority = authority;
        self.charge().map(Ok)
    }

    pub(crate) fn set_path_with_query(&mut self, path: Option<String>) -> Result<Result<(), ()>> {
        if path.as_ref().is_some_and(|path| PathAndQuery::try_from(path.as_str()).is_err()) {
            return Ok(Err(()));
        }
        self.path_with_query = path;
        self.charge().map(Ok)
    }

    fn uri(&self, hooks: &mut dyn WasiHttpHooks) -> Result<Uri, ErrorCode> {
        let scheme = match &self.scheme {
            Some(scheme) => {
                http::uri::Scheme::try_from(scheme.as_str()).map_err(|_| ErrorCode::HttpProtocolError)?
            }
            None => hooks.default_scheme().ok_or(ErrorCode::HttpProtocolError)?,
        };
        if !hooks.is_supported_scheme(&scheme) {
            return Err(ErrorCode::HttpProtocolError);
        }
        let authority = self.authority.as_deref().ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let path = self.path_with_query.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
        uri.map_err(|_| ErrorCode::HttpRequestUriInvalid)
    }

    /// Returns the request as it is sent.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not valid.
    pub(crate) fn into_request(self, hooks: &mut dyn WasiHttpHooks) -> Result<ToSend, ErrorCode> {
        let method = http::Method::try_from(&self.method).map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
        // It would turn the connection into one to somewhere else.
        if method == http::Method::CONNECT {
            return Err(ErrorCode::HttpRequestMethodInvalid);
        }
        let uri = self.uri(hooks)?;
        let destination = Destination::of(&uri)?;
        let length = self.headers.content_length().map_err(|()| ErrorCode::HttpProtocolError)?;
        let headers = self.headers(hooks, &uri)?;
        let (body, charge) = match self.body {
            OutgoingBodyState::None if length.unwrap_or(0) > 0 => {
                return Err(ErrorCode::HttpRequestBodySize(Some(0)));
            }
            OutgoingBodyState::None => (no_body(), None),
            OutgoingBodyState::Open(body, charge) => (body, charge),
            OutgoingBodyState::Refused(code) => return Err(code),
        };
        let mut request = Request::new(body);
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
        Ok(ToSend { request, destination, charge })
    }

    fn headers(&self, hooks: &mut dyn WasiHttpHooks, uri: &Uri) -> Result<HeaderMap, ErrorCode> {
        let mut all = HeaderMap::new();
        if hooks.set_host_header()
            && let Some(authority) = uri.authority()
        {
            let host = header::HeaderValue::from_str(authority.as_str());
            all.insert(header::HOST, host.map_err(|_| ErrorCode::HttpRequestUriInvalid)?);
        }
        for (name, value) in self.headers.iter() {
            let full = |_| ErrorCode::HttpRequestHeaderSectionSize(None);
            all.try_append(name.clone(), value.clone()).map_err(full)?;
        }
        Ok(all)
    }
}

fn is_authority(text: &str) -> bool {
    let is_port = |authority: &Authority| !has_port(authority.as_str()) || authority.port_u16().is_some();
    Authority::try_from(text).is_ok_and(|authority| is_port(&authority))
}

/// A resource `incoming-request`.
pub struct IncomingRequest {
    pub(crate) method: Method,
    pub(crate) path_with_query: Option<String>,
    pub(crate) scheme: Scheme,
    pub(crate) authority: String,
    pub(crate) headers: Fields,
    pub(crate) body: Option<IncomingBody>,
}

/// A resource `incoming-response`.
pub struct IncomingResponse {
    pub(crate) status: u16,
    pub(crate) headers: Fields,
    pub(crate) body: Option<IncomingBody>,
}

/// A resource `outgoing-response`.
pub struct OutgoingResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: Fields,
    pub(crate) body: OutgoingBodyState,
}

impl OutgoingResponse {
    pub(crate) fn new(mut headers: Fields) -> Self {
        headers.set_immutable();
        Self { status: StatusCode::OK, headers, body: OutgoingBodyState::None }
    }

    fn into_response(self) -> Result<Response<WasiBody>, ErrorCode> {
        let body = match self.body {
            OutgoingBodyState::None => no_body(),
            OutgoingBodyState::Open(body, _) => body,
            OutgoingBodyState::Refused(code) => return Err(code),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.to_map().map_err(ErrorCode::internal)?;
        Ok(response)
    }
}

type Respond = dyn FnOnce(Result<Response<WasiBody>, ErrorCode>) + Send;

/// A resource `response-outparam`: takes the response to a request that the guest got.
pub struct ResponseOutparam(Box<Respond>);

impl ResponseOutparam {
    pub(crate) fn set(self, response: Result<OutgoingResponse, ErrorCode>) {
        (self.0)(response.and_then(OutgoingResponse::into_response));
    }
}

impl WasiHttpCtxView<'_> {
    /// Creates an `incoming-request`, to pass it to a guest.
    ///
    /// The guest sees no headers that belong to the connection, and none of those that
    /// [`WasiHttpHooks::is_forbidden_header`] forbids. Its authority is that of the URI, or else the header `host`.
    ///
    /// # Errors
    ///
    /// Returns an error if the request has no authority, if its headers are more than the guest may have, or if there is no
    /// room in the table.
    pub fn new_incoming_request<B>(
        &mut self,
        scheme: Scheme,
        request: Request<B>,
    ) -> Result<Resource<IncomingRequest>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<ErrorCode>,
    {
        let (parts, body) = request.into_parts();
        let body = body.map_err(Into::into).boxed_unsync();
        let authority = match (parts.uri.authority(), parts.headers.get(header::HOST)) {
            (Some(authority), _) => authority.to_string(),
            (None, Some(host)) => host.to_str().context("the request's header `host`")?.to_owned(),
            (None, None) => {
                belljar::bail!("the request has no authority: neither its URI nor a header `host` names one")
            }
        };
        let request = IncomingRequest {
            method: Method::from(&parts.method),
            path_with_query: parts.uri.path_and_query().map(|path| path.as_str().to_owned()),
            scheme,
            authority,
            headers: self.received(&parts.headers)?,
            body: Some(IncomingBody::new(body, self.receiving(Message::Request), None)?),
        };
        Ok(self.table.push(request)?)
    }

    /// Creates a `response-outparam`, to pass it to a guest. `result` gets the response when the guest sets it, and is
    /// dropped if it does not. The body is still being written then.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no room in the table.
    pub fn new_response_outparam(
        &mut self,
        result: oneshot::Sender<Result<Response<WasiBody>, ErrorCode>>,
    ) -> Result<Resource<ResponseOutparam>> {
        // Nobody may be interested any more.
        self.new_response_outparam_from_callback(|response| drop(result.send(response)))
    }

    /// Creates a `response-outparam` that calls a function with the response. The guest waits meanwhile.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no room in the table.
    pub fn new_response_outparam_from_callback(
        &mut self,
        callback: impl FnOnce(Result<Response<WasiBody>, ErrorCode>) + Send + 'static,
    ) -> Result<Resource<ResponseOutparam>> {
        Ok(self.table.push(ResponseOutparam(Box::new(callback)))?)
    }

    /// Returns headers or trailers that were received, as the guest sees them.
    pub(crate) fn received(&mut self, map: &HeaderMap) -> Result<Fields> {
        Fields::received(self.ctx.fields(), map, &mut |name| self.hooks.is_forbidden_header(name))
    }

    /// Returns how a message's body is received, if nothing else is set.
    pub(crate) fn receiving(&self, message: Message) -> Receiving {
        let between_bytes = self.ctx.default_options().between_bytes_timeout();
        Receiving { message, between_bytes, max_trailers: self.ctx.fields().size }
    }
}
