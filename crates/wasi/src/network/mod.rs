//! Sockets that a guest opens itself, and look-ups of names: what the embedder grants of the network.
//!
//! In: addresses from the guest, and the embedder's [`NetworkPolicy`]. Out: sockets of the host that never block, or a
//! [`SocketError`]. Never: an address that the policy does not allow; a thread for a socket.

#[cfg(feature = "p2")]
mod address;
#[cfg(feature = "p2")]
mod error;
#[cfg(feature = "p2")]
mod lookup;
mod policy;
#[cfg(feature = "p2")]
mod tcp;
#[cfg(feature = "p2")]
mod udp;

#[cfg(feature = "p2")]
pub(crate) use address::Family;
#[cfg(feature = "p2")]
pub(crate) use error::SocketError;
#[cfg(feature = "p2")]
pub(crate) use lookup::Lookup;
pub(crate) use policy::NetworkPolicy;
pub use policy::{DeniedUse, SocketAddrUse};
#[cfg(feature = "p2")]
pub(crate) use tcp::{Connection, Moved, TcpSocket};
#[cfg(feature = "p2")]
pub(crate) use udp::{Datagrams, UdpSocket};

/// The result of an operation on a socket.
#[cfg(feature = "p2")]
pub(crate) type Result<T = (), E = SocketError> = std::result::Result<T, E>;
