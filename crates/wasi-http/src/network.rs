//! Sends requests to the network.
//!
//! Each request has a connection of its own, which ends with its response. Everything here runs on the network's thread.

use crate::destination::Destination;
use crate::runtime::Task;
#[cfg(feature = "tls")]
use crate::tls;
use crate::types::{ErrorCode, Scheme};
use crate::{RequestOptions, WasiBody, error};
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
#[cfg(feature = "tls")]
use hyper::client::conn::http2;
#[cfg(feature = "tls")]
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The smallest buffer that hyper has.
const MIN_BUFFER: usize = 8192;

#[cfg(feature = "tls")]
/// How many bytes of a body HTTP/2 lets the other side send ahead, and holds to be sent.
const HTTP_2_WINDOW: u32 = 64 << 10;

/// The response to a request that was sent.
pub type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<WasiBody>, ErrorCode>> + Send>>;

pub(crate) type AddressCheck = dyn Fn(SocketAddr) -> bool + Send + Sync;

/// Sends requests to the network: what [`WasiHttpHooks::send_request`](crate::WasiHttpHooks::send_request) gets to pass on what
/// it does not answer itself.
#[derive(Clone)]
pub struct Network {
    pub(crate) addresses: Option<Arc<AddressCheck>>,
    /// The largest size of a section of headers.
    pub(crate) max_headers: usize,
    #[cfg(feature = "tls")]
    pub(crate) trust: tls::Trust,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("max_headers", &self.max_headers).finish_non_exhaustive()
    }
}

enum Connection {
    Http1(http1::SendRequest<WasiBody>),
    #[cfg(feature = "tls")]
    Http2(http2::SendRequest<WasiBody>),
}

impl Network {
    /// Sends a request to the destination that its URI names. What the embedder allows of destinations was checked before;
    /// of addresses ([`WasiHttpCtx::allow_addresses`](crate::WasiHttpCtx::allow_addresses)), it is checked here.
    pub fn send(self, request: Request<WasiBody>, options: RequestOptions) -> ResponseFuture {
        Box::pin(self.exchange(request, options))
    }

    async fn exchange(
        self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, ErrorCode> {
        let destination = Destination::of(request.uri())?;
        let connect = timeout(options.connect_timeout(), self.connect(&destination));
        let (connection, task) = connect.await.map_err(|_| ErrorCode::ConnectionTimeout)??;
        let response = timeout(options.first_byte_timeout(), connection.send(request));
        let response = response.await.map_err(|_| ErrorCode::ConnectionReadTimeout)??;
        Ok(response.map(|incoming| ResponseBody { incoming, _connection: task }.boxed_unsync()))
    }

    async fn connect(self, destination: &Destination) -> Result<(Connection, Task), ErrorCode> {
        let tcp = self.connect_tcp(destination).await?;
        match destination.scheme() {
            Scheme::Http => self.http1(tcp).await,
            #[cfg(feature = "tls")]
            Scheme::Https => {
                let stream = self.trust.clone().connect(destination.host(), tcp).await?;
                match stream.get_ref().1.alpn_protocol() {
                    Some(tls::HTTP_2) => self.http2(stream).await,
                    _ => self.http1(stream).await,
                }
            }
            #[cfg(not(feature = "tls"))]
            Scheme::Https => {
                drop(tcp);
                Err(ErrorCode::internal(
                    "this program was built without TLS (belljar-wasi-http's feature `tls`)",
                ))
            }
            Scheme::Other(_) => Err(ErrorCode::HttpProtocolError),
        }
    }

    async fn connect_tcp(&self, destination: &Destination) -> Result<TcpStream, ErrorCode> {
        let (host, port) = (destination.host_without_brackets(), destination.port());
        let found = tokio::net::lookup_host((host, port)).await.map_err(|_| error::of_lookup())?;
        let is_allowed =
            |address: &SocketAddr| self.addresses.as_ref().is_none_or(|check| check(canonical(*address)));
        let (allowed, denied): (Vec<_>, Vec<_>) = found.partition(is_allowed);
        let mut failure = match denied.is_empty() {
            true => error::of_lookup(),
            false => ErrorCode::DestinationIpProhibited,
        };
        for address in allowed {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // A request is written in few large pieces.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => failure = error::of_connecting(&error),
            }
        }
        Err(failure)
    }

    async fn http1(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<(Connection, Task), ErrorCode> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(self.max_headers.max(MIN_BUFFER));
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        // What fails is told to whoever waits for the response, or reads its body.
        let task = Task::beside(async move { drop(connection.await) });
        Ok((Connection::Http1(sender), task))
    }

    #[cfg(feature = "tls")]
    async fn http2(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<(Connection, Task), ErrorCode> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .initial_stream_window_size(HTTP_2_WINDOW)
            .initial_connection_window_size(HTTP_2_WINDOW)
            .max_send_buf_size(HTTP_2_WINDOW as usize)
            .max_header_list_size(u32::try_from(self.max_headers).unwrap_or(u32::MAX));
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let task = Task::beside(async move { drop(connection.await) });
        Ok((Connection::Http2(sender), task))
    }
}

/// Returns an IPv4 address also where it was written as one of IPv6, so that it is checked as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Connection {
    async fn send(self, mut request: Request<WasiBody>) -> Result<Response<Incoming>, ErrorCode> {
        match self {
            Self::Http1(mut sender) => {
                // A server is sent the path alone; a proxy would be sent everything.
                let path = request.uri().path_and_query().cloned();
                *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
                Ok(sender.send_request(request).await?)
            }
            #[cfg(feature = "tls")]
            Self::Http2(mut sender) => {
                // It has the authority of the URI in its place.
                request.headers_mut().remove(http::header::HOST);
                Ok(sender.send_request(request).await?)
            }
        }
    }
}

/// A response's body, with the connection that it is received on.
struct ResponseBody {
    incoming: Incoming,
    _connection: Task,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        Pin::new(&mut self.incoming).poll_frame(cx).map_err(ErrorCode::from)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WasiHttpCtx;
    use crate::future_response::FutureIncomingResponse;
    use crate::incoming_body::Receiving;
    use crate::outgoing_body::{Message, OutgoingBody};
    use belljar_wasi::p2::{Event, InputStream, OutputStream, Pollable};
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    /// More than the buffers of the kernel for a connection.
    const TOO_MUCH: usize = 64 << 20;

    /// Waits until something is ready. Returns false after a second.
    fn is_ready_soon(what: &impl Pollable) -> bool {
        let Event::Readable(fd) = what.ready() else { return true };
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&second)).unwrap() == 1
    }

    fn start(port: u16, body: WasiBody) -> FutureIncomingResponse {
        let ctx = WasiHttpCtx::new();
        let request = Request::post(format!("http://127.0.0.1:{port}/")).body(body).unwrap();
        let response = ctx.network().clone().send(request, RequestOptions::default());
        let between_bytes = Duration::from_secs(600);
        let how = Receiving { message: Message::Response, between_bytes, max_trailers: 1000 };
        FutureIncomingResponse::start(response, how, 1000, ctx.begin_request().unwrap()).unwrap()
    }

    #[test]
    fn who_does_not_read_makes_the_other_side_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mut body, sent) = OutgoingBody::new(Message::Request, None, None).unwrap();
        let mut future = start(port, sent);
        let (mut server, _) = listener.accept().unwrap();

        // The server reads nothing of the request.
        let mut stream = body.take_stream().unwrap();
        let mut written = 0;
        while is_ready_soon(&stream) {
            let room = stream.check_write().unwrap();
            stream.write(vec![0; room].into()).unwrap();
            written += room;
            assert!(written < TOO_MUCH);
        }

        // The guest reads nothing of the response, which begins before the request is sent.
        server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        assert!(is_ready_soon(&future));
        let mut response = future.take().unwrap().unwrap().unwrap();
        server.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut answered = 0;
        while let Ok(count) = server.write(&[1; 65536]) {
            answered += count;
            assert!(answered < TOO_MUCH);
        }

        // Both go on.
        let mut from = response.body.take_stream().unwrap();
        let mut read = 0;
        while read < answered {
            assert!(is_ready_soon(&from));
            read += from.read(usize::MAX).unwrap().len();
        }
        server.read_exact(&mut vec![0; written / 2]).unwrap();
        assert!(is_ready_soon(&stream));
        assert!(stream.check_write().unwrap() > 0);
    }
}
