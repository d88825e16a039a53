//! `wasi:sockets`.

use super::failure::Failure;
use super::interface::{Interface, Interfaces};
use super::poll::{Pollable, subscribe};
use super::streams::{
    DynInputStream, DynOutputStream, InputStream, IoError, OutputStream, StreamError, StreamResult,
};
use super::view::WasiCtxView;
use crate::ctx::OpenResource;
use crate::network::{Connection, Datagrams, Family, Lookup, Moved, SocketError, TcpSocket, UdpSocket};
use crate::p1;
use crate::wait::Event;
use belljar::component::{ComponentType, Lift, Lower, Resource};
use bytes::Bytes;
use rustix::net::Shutdown;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;
use types::*;

/// The types of `wasi:sockets/network`.
pub(super) mod types {
    use belljar::component::{ComponentType, Lift, Lower};

    macro_rules! error_codes {
        ($($name:ident, $text:literal;)*) => {
            /// Why an operation failed.
            #[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
            #[component(enum)]
            pub enum ErrorCode {
                $(
                    #[doc = concat!("The ", $text, ".")]
                    $name,
                )*
            }

            impl From<crate::network::SocketError> for ErrorCode {
                fn from(error: crate::network::SocketError) -> Self {
                    match error {
                        $(crate::network::SocketError::$name => Self::$name,)*
                    }
                }
            }
        };
    }

    error_codes! {
        Unknown, "system has told nothing more";
        AccessDenied, "guest was not granted this";
        NotSupported, "operation is not supported";
        InvalidArgument, "argument is invalid";
        OutOfMemory, "system has no more memory";
        Timeout, "other side did not answer in time";
        ConcurrencyConflict, "operation cannot begin while another one is in progress";
        NotInProgress, "operation was not begun";
        WouldBlock, "call would have to wait";
        InvalidState, "socket is in another state";
        NewSocketLimit, "system has no more sockets";
        AddressNotBindable, "address is none of this computer";
        AddressInUse, "address is in use";
        RemoteUnreachable, "other side cannot be reached";
        ConnectionRefused, "other side has refused the connection";
        ConnectionReset, "other side has reset the connection";
        ConnectionAborted, "connection was aborted";
        DatagramTooLarge, "datagram is too large";
        NameUnresolvable, "name does not exist";
        TemporaryResolverFailure, "look-up failed, and may succeed later";
        PermanentResolverFailure, "look-up failed for good";
    }

    /// IPv4 or IPv6.
    #[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
    #[component(enum)]
    pub enum IpAddressFamily {
        /// IPv4.
        Ipv4,
        /// IPv6.
        Ipv6,
    }

    /// An IPv4 address.
    pub type Ipv4Address = (u8, u8, u8, u8);
    /// An IPv6 address.
    pub type Ipv6Address = (u16, u16, u16, u16, u16, u16, u16, u16);

    /// An address of a computer.
    #[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
    #[component(variant)]
    pub enum IpAddress {
        /// One of IPv4.
        Ipv4(Ipv4Address),
        /// One of IPv6.
        Ipv6(Ipv6Address),
    }

    /// An address of a socket, of IPv4.
    #[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
    #[component(record)]
    pub struct Ipv4SocketAddress {
        /// The port.
        pub port: u16,
        /// The address.
        pub address: Ipv4Address,
    }

    /// An address of a socket, of IPv6.
    #[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
    #[component(record)]
    pub struct Ipv6SocketAddress {
        /// The port.
        pub port: u16,
        /// The flow's number.
        pub flow_info: u32,
        /// The address.
        pub address: Ipv6Address,
        /// The number of the network that it belongs to.
        pub scope_id: u32,
    }

    /// An address of a socket.
    #[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
    #[component(variant)]
    pub enum IpSocketAddress {
        /// One of IPv4.
        Ipv4(Ipv4SocketAddress),
        /// One of IPv6.
        Ipv6(Ipv6SocketAddress),
    }
}

type Outcome<T = ()> = Result<T, Failure<ErrorCode>>;

impl From<SocketError> for Failure<ErrorCode> {
    fn from(error: SocketError) -> Self {
        Self::Code(error.into())
    }
}

impl From<IpAddr> for IpAddress {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(ip) => Self::Ipv4(ip.octets().into()),
            IpAddr::V6(ip) => Self::Ipv6(ip.segments().into()),
        }
    }
}

impl From<SocketAddr> for IpSocketAddress {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => {
                Self::Ipv4(Ipv4SocketAddress { port: v4.port(), address: v4.ip().octets().into() })
            }
            SocketAddr::V6(v6) => Self::Ipv6(Ipv6SocketAddress {
                port: v6.port(),
                flow_info: v6.flowinfo(),
                address: v6.ip().segments().into(),
                scope_id: v6.scope_id(),
            }),
        }
    }
}

impl From<IpSocketAddress> for SocketAddr {
    fn from(address: IpSocketAddress) -> Self {
        match address {
            IpSocketAddress::Ipv4(v4) => {
                SocketAddrV4::new(<[u8; 4]>::from(v4.address).into(), v4.port).into()
            }
            IpSocketAddress::Ipv6(v6) => {
                SocketAddrV6::new(<[u16; 8]>::from(v6.address).into(), v6.port, v6.flow_info, v6.scope_id)
                    .into()
            }
        }
    }
}

impl From<Family> for IpAddressFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::Ipv4,
            Family::V6 => Self::Ipv6,
        }
    }
}

impl From<IpAddressFamily> for Family {
    fn from(family: IpAddressFamily) -> Self {
        match family {
            IpAddressFamily::Ipv4 => Self::V4,
            IpAddressFamily::Ipv6 => Self::V6,
        }
    }
}

/// A resource `network`.
struct Network;

/// A resource with a socket of the host, which counts as an open descriptor.
struct Open<S> {
    socket: S,
    counted: Arc<OpenResource>,
}

type Tcp = Resource<Open<TcpSocket>>;
type Udp = Resource<Open<UdpSocket>>;

/// A resource `resolve-address-stream`.
struct ResolveAddressStream(Lookup);

/// A resource `incoming-datagram-stream`.
struct IncomingDatagrams {
    datagrams: Datagrams,
    _counted: Arc<OpenResource>,
}

/// A resource `outgoing-datagram-stream`.
struct OutgoingDatagrams {
    datagrams: Datagrams,
    /// How many may be sent before the guest asks again.
    permits: u64,
    _counted: Arc<OpenResource>,
}

impl Pollable for Open<TcpSocket> {
    fn ready(&self) -> Event<'_> {
        self.socket.ready()
    }
}

impl Pollable for Open<UdpSocket> {
    fn ready(&self) -> Event<'_> {
        // Nothing that begins needs time.
        Event::Now
    }
}

impl Pollable for ResolveAddressStream {
    fn ready(&self) -> Event<'_> {
        self.0.ready()
    }
}

impl Pollable for IncomingDatagrams {
    fn ready(&self) -> Event<'_> {
        self.datagrams.receivable()
    }
}

impl Pollable for OutgoingDatagrams {
    fn ready(&self) -> Event<'_> {
        self.datagrams.sendable()
    }
}

/// What is received on a connection.
struct ConnectionInput {
    connection: Arc<Connection>,
    _counted: Arc<OpenResource>,
}

/// What is sent on a connection. What the system does not take at once waits here.
struct ConnectionOutput {
    connection: Arc<Connection>,
    waiting: Bytes,
    _counted: Arc<OpenResource>,
}

/// How many bytes are received, or taken to be sent, at once.
const CHUNK: usize = 64 << 10;

impl Pollable for ConnectionInput {
    fn ready(&self) -> Event<'_> {
        self.connection.receivable()
    }
}

impl InputStream for ConnectionInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut bytes = vec![0; size.min(CHUNK)];
        match self.connection.receive(&mut bytes)? {
            Moved::Bytes(count) => {
                bytes.truncate(count);
                Ok(bytes.into())
            }
            Moved::Nothing => Ok(Bytes::new()),
            Moved::End => Err(StreamError::Closed),
        }
    }
}

impl ConnectionOutput {
    fn pass_on(&mut self) -> StreamResult<()> {
        while !self.waiting.is_empty() {
            match self.connection.send(&self.waiting)? {
                Moved::Bytes(count) => drop(self.waiting.split_to(count)),
                Moved::Nothing => return Ok(()),
                Moved::End => return Err(StreamError::Closed),
            }
        }
        Ok(())
    }
}

impl Pollable for ConnectionOutput {
    fn ready(&self) -> Event<'_> {
        self.connection.sendable()
    }
}

impl OutputStream for ConnectionOutput {
    fn check_write(&mut self) -> StreamResult<usize> {
        self.pass_on()?;
        if !self.waiting.is_empty() {
            return Ok(0);
        }
        match self.connection.sendable() {
            // The direction was ended.
            Event::Now => Err(StreamError::Closed),
            Event::Writable(fd) if !crate::wait::is_writable(fd) => Ok(0),
            _ => Ok(CHUNK),
        }
    }

    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.waiting = bytes;
        self.pass_on()
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.pass_on()
    }
}

type Streams = (Resource<DynInputStream>, Resource<DynOutputStream>);

/// Creates the streams of a connection, as children of its socket.
fn streams(view: &mut WasiCtxView<'_>, socket: &Tcp) -> Outcome<Streams> {
    let open = view.table.get(socket)?;
    let (connection, counted) = (open.socket.connection(), open.counted.clone());
    let input: DynInputStream =
        Box::new(ConnectionInput { connection: connection.clone(), _counted: counted.clone() });
    let output: DynOutputStream =
        Box::new(ConnectionOutput { connection, waiting: Bytes::new(), _counted: counted });
    Ok((view.table.push_child(input, socket)?, view.table.push_child(output, socket)?))
}

impl From<p1::Errno> for ErrorCode {
    /// Only the limit on descriptors is told as a number of WASI 0.1.
    fn from(errno: p1::Errno) -> Self {
        match errno {
            p1::Errno::Mfile => Self::NewSocketLimit,
            _ => Self::Unknown,
        }
    }
}

/// Opens a socket that counts as a descriptor.
fn open<S: Send + 'static>(
    view: &mut WasiCtxView<'_>,
    socket: impl FnOnce(&WasiCtxView<'_>) -> Result<S, SocketError>,
) -> Outcome<Resource<Open<S>>> {
    let counted = Arc::new(view.ctx.open_resource()?);
    let socket = socket(view)?;
    Ok(view.table.push(Open { socket, counted })?)
}

fn accept(
    view: &mut WasiCtxView<'_>,
    (socket,): (Tcp,),
) -> Outcome<(Tcp, Resource<DynInputStream>, Resource<DynOutputStream>)> {
    let accepted = open(view, |view| {
        let listening = view.table.get(&socket).map_err(|_| SocketError::Unknown)?;
        listening.socket.accept()
    })?;
    let (input, output) = streams(view, &accepted)?;
    Ok((accepted, input, output))
}

/// Lets a function work on a TCP socket.
fn tcp<R>(
    view: &mut WasiCtxView<'_>,
    socket: &Tcp,
    f: impl FnOnce(&mut TcpSocket) -> Result<R, SocketError>,
) -> Outcome<R> {
    Ok(f(&mut view.table.get_mut(socket)?.socket)?)
}

/// Lets a function work on a UDP socket.
fn udp<R>(
    view: &mut WasiCtxView<'_>,
    socket: &Udp,
    f: impl FnOnce(&mut UdpSocket) -> Result<R, SocketError>,
) -> Outcome<R> {
    Ok(f(&mut view.table.get_mut(socket)?.socket)?)
}

fn nanoseconds(time: Duration) -> u64 {
    crate::clocks::in_nanoseconds(time)
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
enum ShutdownType {
    Receive,
    Send,
    Both,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct IncomingDatagram {
    data: Vec<u8>,
    remote_address: IpSocketAddress,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct OutgoingDatagram {
    data: Vec<u8>,
    remote_address: Option<IpSocketAddress>,
}

/// The most datagrams of one call.
const MAX_DATAGRAMS: u64 = 16;

fn receive(
    view: &mut WasiCtxView<'_>,
    (stream, most): (Resource<IncomingDatagrams>, u64),
) -> Outcome<Vec<IncomingDatagram>> {
    let (ctx, stream) = (&*view.ctx, view.table.get(&stream)?);
    let mut received = Vec::new();
    while (received.len() as u64) < most.min(MAX_DATAGRAMS) {
        let Some(quota) = ctx.read_quota().reserve_count(u16::MAX.into()) else {
            ctx.read_quota_exceeded();
            return Err(SocketError::OutOfMemory.into());
        };
        match stream.datagrams.receive() {
            Ok(Some((data, from))) => {
                quota.commit(data.len());
                received.push(IncomingDatagram { data, remote_address: from.into() });
            }
            Ok(None) => break,
            // What was received is not lost; the next call meets the error.
            Err(_) if !received.is_empty() => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(received)
}

fn check_send(view: &mut WasiCtxView<'_>, (stream,): (Resource<OutgoingDatagrams>,)) -> Outcome<u64> {
    let stream = view.table.get_mut(&stream)?;
    let is_ready = match stream.datagrams.sendable() {
        Event::Writable(fd) => crate::wait::is_writable(fd),
        _ => true,
    };
    stream.permits = if is_ready { MAX_DATAGRAMS } else { 0 };
    Ok(stream.permits)
}

fn send(
    view: &mut WasiCtxView<'_>,
    (stream, datagrams): (Resource<OutgoingDatagrams>, Vec<OutgoingDatagram>),
) -> Outcome<u64> {
    let ctx = &*view.ctx;
    let stream = view.table.get_mut(&stream)?;
    if datagrams.is_empty() {
        return Ok(0);
    }
    if datagrams.len() as u64 > stream.permits {
        return Err(Failure::Trap(belljar::Error::msg(
            "more datagrams were sent than `check-send` has allowed",
        )));
    }
    let mut sent = 0;
    for OutgoingDatagram { data, remote_address } in datagrams {
        let quota = match ctx.write_quota().reserve_count(data.len() as u64) {
            Some(quota) if quota.count() == data.len() as u64 => quota,
            _ => {
                ctx.write_quota_exceeded();
                return if sent > 0 { Ok(sent) } else { Err(SocketError::OutOfMemory.into()) };
            }
        };
        match stream.datagrams.send(ctx.network(), &data, remote_address.map(SocketAddr::from)) {
            Ok(true) => {
                quota.commit(data.len());
                sent += 1;
                stream.permits -= 1;
            }
            Ok(false) => break,
            Err(_) if sent > 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sent)
}

fn datagrams(
    view: &mut WasiCtxView<'_>,
    (socket, remote): (Udp, Option<IpSocketAddress>),
) -> Outcome<(Resource<IncomingDatagrams>, Resource<OutgoingDatagrams>)> {
    let open = view.table.get_mut(&socket)?;
    let datagrams = open.socket.datagrams(view.ctx.network(), remote.map(SocketAddr::from))?;
    let counted = open.counted.clone();
    let incoming = IncomingDatagrams { datagrams: datagrams.clone(), _counted: counted.clone() };
    let outgoing = OutgoingDatagrams { datagrams, permits: 0, _counted: counted };
    Ok((view.table.push_child(incoming, &socket)?, view.table.push_child(outgoing, &socket)?))
}

/// Returns the error code of an error of a stream, if it is one of a socket.
fn error_code(error: &IoError) -> Option<ErrorCode> {
    error.system_errno().map(|errno| SocketError::from(errno).into())
}

fn add_tcp<T: 'static>(interface: &mut Interface<'_, T>) -> belljar::Result<()> {
    type Bind = (Tcp, Resource<Network>, IpSocketAddress);
    let name = |name: &str| format!("[method]tcp-socket.{name}");
    interface.resource::<Open<TcpSocket>>("tcp-socket")?;
    interface.fallible(&name("start-bind"), |view, (socket, _, address): Bind| {
        let (policy, open) = (view.ctx.network(), view.table.get_mut(&socket)?);
        Ok::<_, Failure<ErrorCode>>(open.socket.start_bind(policy, address.into())?)
    })?;
    interface.fallible(&name("start-connect"), |view, (socket, _, address): Bind| {
        let (policy, open) = (view.ctx.network(), view.table.get_mut(&socket)?);
        Ok::<_, Failure<ErrorCode>>(open.socket.start_connect(policy, address.into())?)
    })?;
    interface.fallible(&name("finish-connect"), |view, (socket,): (Tcp,)| {
        tcp(view, &socket, TcpSocket::finish_connect)?;
        streams(view, &socket)
    })?;
    interface.fallible(&name("accept"), accept)?;
    macro_rules! methods {
        ($($wit:literal($($param:ident: $ty:ty),*) $method:expr;)*) => {$(
            interface.fallible(&name($wit), |view, (socket, $($param,)*): (Tcp, $($ty,)*)| {
                tcp(view, &socket, |socket| $method(socket, $($param),*))
            })?;
        )*};
    }
    methods! {
        "finish-bind"() TcpSocket::finish_bind;
        "start-listen"() TcpSocket::start_listen;
        "finish-listen"() TcpSocket::finish_listen;
        "local-address"() |socket: &mut TcpSocket| socket.local_address().map(IpSocketAddress::from);
        "remote-address"() |socket: &mut TcpSocket| socket.remote_address().map(IpSocketAddress::from);
        "set-listen-backlog-size"(size: u64) TcpSocket::set_backlog;
        "keep-alive-enabled"() |socket: &mut TcpSocket| socket.keep_alive();
        "set-keep-alive-enabled"(on: bool) |socket: &mut TcpSocket, on| socket.set_keep_alive(on);
        "keep-alive-idle-time"() |socket: &mut TcpSocket| socket.keep_alive_idle().map(nanoseconds);
        "set-keep-alive-idle-time"(time: u64) |socket: &mut TcpSocket, time| socket.set_keep_alive_idle(time);
        "keep-alive-interval"() |socket: &mut TcpSocket| socket.keep_alive_interval().map(nanoseconds);
        "set-keep-alive-interval"(time: u64) |socket: &mut TcpSocket, time| socket.set_keep_alive_interval(time);
        "keep-alive-count"() |socket: &mut TcpSocket| socket.keep_alive_count();
        "set-keep-alive-count"(count: u32) |socket: &mut TcpSocket, count| socket.set_keep_alive_count(count);
        "hop-limit"() |socket: &mut TcpSocket| socket.hop_limit();
        "set-hop-limit"(limit: u8) |socket: &mut TcpSocket, limit| socket.set_hop_limit(limit);
        "receive-buffer-size"() |socket: &mut TcpSocket| socket.receive_buffer_size();
        "set-receive-buffer-size"(size: u64) |socket: &mut TcpSocket, size| socket.set_receive_buffer_size(size);
        "send-buffer-size"() |socket: &mut TcpSocket| socket.send_buffer_size();
        "set-send-buffer-size"(size: u64) |socket: &mut TcpSocket, size| socket.set_send_buffer_size(size);
        "shutdown"(how: ShutdownType) |socket: &mut TcpSocket, how| socket.shut(match how {
            ShutdownType::Receive => Shutdown::Read,
            ShutdownType::Send => Shutdown::Write,
            ShutdownType::Both => Shutdown::Both,
        });
    }
    interface.func(&name("is-listening"), |view, (socket,): (Tcp,)| {
        Ok(view.table.get(&socket)?.socket.is_listening())
    })?;
    interface.func(&name("address-family"), |view, (socket,): (Tcp,)| {
        Ok(IpAddressFamily::from(view.table.get(&socket)?.socket.family()))
    })?;
    interface.func(&name("subscribe"), |view, (socket,): (Tcp,)| subscribe(view.table, &socket))
}

fn add_udp<T: 'static>(interface: &mut Interface<'_, T>) -> belljar::Result<()> {
    type Bind = (Udp, Resource<Network>, IpSocketAddress);
    type Incoming = Resource<IncomingDatagrams>;
    type Outgoing = Resource<OutgoingDatagrams>;
    let name = |name: &str| format!("[method]udp-socket.{name}");
    interface.resource::<Open<UdpSocket>>("udp-socket")?;
    interface.resource::<IncomingDatagrams>("incoming-datagram-stream")?;
    interface.resource::<OutgoingDatagrams>("outgoing-datagram-stream")?;
    interface.fallible(&name("start-bind"), |view, (socket, _, address): Bind| {
        let (policy, open) = (view.ctx.network(), view.table.get_mut(&socket)?);
        Ok::<_, Failure<ErrorCode>>(open.socket.start_bind(policy, address.into())?)
    })?;
    interface.fallible(&name("stream"), datagrams)?;
    macro_rules! methods {
        ($($wit:literal($($param:ident: $ty:ty),*) $method:expr;)*) => {$(
            interface.fallible(&name($wit), |view, (socket, $($param,)*): (Udp, $($ty,)*)| {
                udp(view, &socket, |socket| $method(socket, $($param),*))
            })?;
        )*};
    }
    methods! {
        "finish-bind"() UdpSocket::finish_bind;
        "local-address"() |socket: &mut UdpSocket| socket.local_address().map(IpSocketAddress::from);
        "remote-address"() |socket: &mut UdpSocket| socket.remote_address().map(IpSocketAddress::from);
        "unicast-hop-limit"() |socket: &mut UdpSocket| socket.hop_limit();
        "set-unicast-hop-limit"(limit: u8) |socket: &mut UdpSocket, limit| socket.set_hop_limit(limit);
        "receive-buffer-size"() |socket: &mut UdpSocket| socket.receive_buffer_size();
        "set-receive-buffer-size"(size: u64) |socket: &mut UdpSocket, size| socket.set_receive_buffer_size(size);
        "send-buffer-size"() |socket: &mut UdpSocket| socket.send_buffer_size();
        "set-send-buffer-size"(size: u64) |socket: &mut UdpSocket, size| socket.set_send_buffer_size(size);
    }
    interface.func(&name("address-family"), |view, (socket,): (Udp,)| {
        Ok(IpAddressFamily::from(view.table.get(&socket)?.socket.family()))
    })?;
    interface.func(&name("subscribe"), |view, (socket,): (Udp,)| subscribe(view.table, &socket))?;
    interface.fallible("[method]incoming-datagram-stream.receive", receive)?;
    interface.func("[method]incoming-datagram-stream.subscribe", |view, (stream,): (Incoming,)| {
        subscribe(view.table, &stream)
    })?;
    interface.fallible("[method]outgoing-datagram-stream.check-send", check_send)?;
    interface.fallible("[method]outgoing-datagram-stream.send", send)?;
    interface.func("[method]outgoing-datagram-stream.subscribe", |view, (stream,): (Outgoing,)| {
        subscribe(view.table, &stream)
    })
}

pub(super) fn add<T: 'static>(interfaces: &mut Interfaces<'_, T>) -> belljar::Result<()> {
    let mut network = interfaces.add("wasi:sockets/network")?;
    network.resource::<Network>("network")?;
    network.func("network-error-code", |view, (error,): (Resource<IoError>,)| {
        Ok(error_code(view.table.get(&error)?))
    })?;
    interfaces
        .add("wasi:sockets/instance-network")?
        .func("instance-network", |view, (): ()| Ok(view.table.push(Network)?))?;

    add_tcp(&mut interfaces.add("wasi:sockets/tcp")?)?;
    interfaces.add("wasi:sockets/tcp-create-socket")?.fallible(
        "create-tcp-socket",
        |view, (family,): (IpAddressFamily,)| {
            open(view, |view| TcpSocket::new(view.ctx.network(), family.into()))
        },
    )?;
    add_udp(&mut interfaces.add("wasi:sockets/udp")?)?;
    interfaces.add("wasi:sockets/udp-create-socket")?.fallible(
        "create-udp-socket",
        |view, (family,): (IpAddressFamily,)| {
            open(view, |view| UdpSocket::new(view.ctx.network(), family.into()))
        },
    )?;

    type Addresses = Resource<ResolveAddressStream>;
    let mut lookup = interfaces.add("wasi:sockets/ip-name-lookup")?;
    lookup.resource::<ResolveAddressStream>("resolve-address-stream")?;
    lookup.fallible("resolve-addresses", |view, (_, name): (Resource<Network>, String)| {
        let found = Lookup::new(view.ctx.network(), &name)?;
        Ok::<_, Failure<ErrorCode>>(view.table.push(ResolveAddressStream(found))?)
    })?;
    lookup.fallible(
        "[method]resolve-address-stream.resolve-next-address",
        |view, (stream,): (Addresses,)| {
            let next = view.table.get_mut(&stream)?.0.next()?;
            Ok::<_, Failure<ErrorCode>>(next.map(IpAddress::from))
        },
    )?;
    lookup.func("[method]resolve-address-stream.subscribe", |view, (stream,): (Addresses,)| {
        subscribe(view.table, &stream)
    })
}
