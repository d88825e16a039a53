//! Families of addresses, and which addresses a socket can have.

use super::{Result, SocketError};
use rustix::net::{AddressFamily, SocketAddrAny};
use std::net::{IpAddr, SocketAddr};

/// IPv4 or IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

impl From<Family> for AddressFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::INET,
            Family::V6 => Self::INET6,
        }
    }
}

impl Family {
    /// Checks that an address is of this family, and that of one computer.
    ///
    /// # Errors
    ///
    /// Returns [`SocketError::InvalidArgument`].
    pub(crate) fn check(self, address: &SocketAddr) -> Result {
        let is_of_one = match (self, address.ip()) {
            (Self::V4, IpAddr::V4(ip)) => !ip.is_multicast() && !ip.is_broadcast(),
            // An IPv4 address in the disguise of an IPv6 address would need a socket for both.
            (Self::V6, IpAddr::V6(ip)) => !ip.is_multicast() && !is_ipv4_in_ipv6(ip),
            _ => false,
        };
        if is_of_one { Ok(()) } else { Err(SocketError::InvalidArgument) }
    }

    /// Checks the same, and that it is the address of somebody else's socket.
    ///
    /// # Errors
    ///
    /// Returns [`SocketError::InvalidArgument`].
    pub(crate) fn check_remote(self, address: &SocketAddr) -> Result {
        self.check(address)?;
        let is_socket = !address.ip().is_unspecified() && address.port() != 0;
        if is_socket { Ok(()) } else { Err(SocketError::InvalidArgument) }
    }
}

/// Returns whether it is an IPv4 address, in one of the two ways in which IPv6 contains them. `::` and `::1` are not.
fn is_ipv4_in_ipv6(ip: std::net::Ipv6Addr) -> bool {
    ip.to_ipv4_mapped().is_some() || matches!(ip.segments(), [0, 0, 0, 0, 0, 0, high, _] if high != 0)
}

/// Returns the address that the system tells.
///
/// # Errors
///
/// Returns [`SocketError::Unknown`] if it is none of IP.
pub(crate) fn address(of: SocketAddrAny) -> Result<SocketAddr> {
    SocketAddr::try_from(of).map_err(|_| SocketError::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_one_computer_and_of_the_family_are_valid() {
        let ok = |family: Family, text: &str| family.check(&text.parse().unwrap()).is_ok();
        assert!(ok(Family::V4, "127.0.0.1:80") && ok(Family::V4, "0.0.0.0:0"));
        assert!(ok(Family::V6, "[::1]:80") && ok(Family::V6, "[::]:0") && ok(Family::V6, "[fe80::1]:1"));
        for (family, text) in [
            (Family::V4, "[::1]:80"),
            (Family::V6, "127.0.0.1:80"),
            (Family::V4, "255.255.255.255:80"),
            (Family::V4, "224.0.0.1:80"),
            (Family::V6, "[ff02::1]:80"),
            (Family::V6, "[::ffff:127.0.0.1]:80"),
            (Family::V6, "[::127.0.0.1]:80"),
        ] {
            assert!(!ok(family, text), "{text}");
        }
        let remote = |text: &str| Family::V4.check_remote(&text.parse().unwrap()).is_ok();
        assert!(remote("127.0.0.1:80") && !remote("127.0.0.1:0") && !remote("0.0.0.0:80"));
    }
}
