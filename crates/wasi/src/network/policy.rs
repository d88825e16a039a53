//! What the embedder grants of the network, and what a guest wanted and was denied.

#[cfg(feature = "p2")]
use super::{Result, SocketError};
use belljar::OutsideText;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// What a guest wants an address for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SocketAddrUse {
    /// To listen on it with TCP, or to connect from it.
    TcpBind,
    /// To connect to it with TCP.
    TcpConnect,
    /// To receive UDP datagrams on it.
    UdpBind,
    /// To exchange UDP datagrams with it only.
    UdpConnect,
    /// To send a UDP datagram to it.
    UdpOutgoingDatagram,
}

/// A use of the network that was denied. It prints as a phrase, such as `a TCP connection to 127.0.0.1:80`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum DeniedUse {
    /// An address.
    Address(SocketAddr, SocketAddrUse),
    /// Any TCP socket.
    Tcp,
    /// Any UDP socket.
    Udp,
    /// A look-up of this name.
    NameLookup(String),
}

impl fmt::Display for DeniedUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address, SocketAddrUse::TcpBind) => write!(f, "a TCP socket at {address}"),
            Self::Address(address, SocketAddrUse::TcpConnect) => write!(f, "a TCP connection to {address}"),
            Self::Address(address, SocketAddrUse::UdpBind) => write!(f, "a UDP socket at {address}"),
            Self::Address(address, SocketAddrUse::UdpConnect | SocketAddrUse::UdpOutgoingDatagram) => {
                write!(f, "UDP datagrams to {address}")
            }
            Self::Tcp => f.write_str("a TCP socket"),
            Self::Udp => f.write_str("a UDP socket"),
            Self::NameLookup(name) => write!(f, "a look-up of the name {}", OutsideText::new(name)),
        }
    }
}

type Check = dyn Fn(SocketAddr, SocketAddrUse) -> bool + Send + Sync;
type NameCheck = dyn Fn(&str) -> bool + Send + Sync;

/// What a guest may use of the network. By default no address and no look-up.
pub(crate) struct NetworkPolicy {
    pub(crate) tcp: bool,
    pub(crate) udp: bool,
    pub(crate) name_lookup: Box<NameCheck>,
    pub(crate) check: Box<Check>,
    /// The first uses that were denied, each once.
    denied: Mutex<Vec<DeniedUse>>,
}

/// How many denied uses are remembered: a guest can try any number.
#[cfg(feature = "p2")]
const MAX_DENIED: usize = 16;

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self {
            tcp: true,
            udp: true,
            name_lookup: Box::new(|_| false),
            check: Box::new(|_, _| false),
            denied: Mutex::default(),
        }
    }
}

impl NetworkPolicy {
    /// Returns what was denied.
    pub(crate) fn denied(&self) -> Vec<DeniedUse> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(feature = "p2")]
impl NetworkPolicy {
    fn decide(&self, allowed: bool, what: impl FnOnce() -> DeniedUse) -> Result {
        if allowed {
            return Ok(());
        }
        let what = what();
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        if denied.len() < MAX_DENIED && !denied.contains(&what) {
            denied.push(what);
        }
        Err(SocketError::AccessDenied)
    }

    /// Checks that a guest may use TCP.
    pub(crate) fn check_tcp(&self) -> Result {
        self.decide(self.tcp, || DeniedUse::Tcp)
    }

    /// Checks that a guest may use UDP.
    pub(crate) fn check_udp(&self) -> Result {
        self.decide(self.udp, || DeniedUse::Udp)
    }

    /// Checks that a guest may look a name up.
    pub(crate) fn check_lookup(&self, name: &str) -> Result {
        // A name can be as long as the guest's memory.
        let shown = || name.chars().take(256).collect();
        self.decide((self.name_lookup)(name), || DeniedUse::NameLookup(shown()))
            .map_err(|_| SocketError::PermanentResolverFailure)
    }

    /// Checks that a guest may use an address.
    pub(crate) fn check(&self, address: SocketAddr, what: SocketAddrUse) -> Result {
        self.decide((self.check)(address, what), || DeniedUse::Address(address, what))
    }
}
