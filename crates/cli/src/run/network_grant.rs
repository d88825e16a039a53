//! `--allow-tcp` and `--allow-udp`: addresses of the network that the guest may use.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use belljar::{Error, OutsideText};
use belljar_wasi::{DeniedUse, SocketAddrUse, WasiCtxBuilder};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// `HOST:PORT`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NetworkGrant {
    hosts: Hosts,
    ports: RangeInclusive<u16>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Hosts {
    Any,
    /// The addresses that begin with so many bits of this one.
    Network(IpAddr, u32),
    Name(String),
}

impl FromStr for NetworkGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected HOST:PORT, found `{}`: HOST is a name, an address (IPv6 in brackets), a network such as \
                 10.0.0.0/8, or *; PORT is a number, a range such as 8000-8999, or *",
                OutsideText::new(text)
            )
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let ports = match port.split_once('-') {
            _ if port == "*" => 0..=u16::MAX,
            Some((first, last)) => {
                first.parse().map_err(|_| expected())?..=last.parse().map_err(|_| expected())?
            }
            None => port.parse().map(|port| port..=port).map_err(|_| expected())?,
        };
        let is_name = |host: &str| {
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        let ip = |text: &str| {
            let v6 = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            v6.map_or_else(
                || text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
                |v6| v6.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::from),
            )
        };
        let bits = |ip: &IpAddr| if ip.is_ipv4() { 32 } else { 128 };
        let hosts = match (host, host.split_once('/')) {
            ("*", _) => Hosts::Any,
            (_, Some((address, length))) => {
                let address = ip(address).ok_or_else(expected)?;
                let length = length.parse().ok().filter(|length| *length <= bits(&address));
                Hosts::Network(address, length.ok_or_else(expected)?)
            }
            (host, None) => match ip(host) {
                Some(address) => Hosts::Network(address, bits(&address)),
                None if is_name(host) => Hosts::Name(host.into()),
                None => return Err(expected()),
            },
        };
        if ports.is_empty() { Err(expected()) } else { Ok(Self { hosts, ports }) }
    }
}

fn begins_with(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let shifted = |value: u128, width: u32| value.checked_shr(width - bits).unwrap_or(0);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            shifted(u32::from(a).into(), 32) == shifted(u32::from(b).into(), 32)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => shifted(a.into(), 128) == shifted(b.into(), 128),
        _ => false,
    }
}

impl NetworkGrant {
    /// Replaces a name by its addresses.
    fn resolve(&self, option: &str) -> Result<Vec<Self>, Failure> {
        let Hosts::Name(name) = &self.hosts else { return Ok(vec![self.clone()]) };
        let found = (&**name, 0).to_socket_addrs().map_err(|error| {
            let what = format!("could not look up `{}` for {option}", OutsideText::new(name));
            Failure::new(ExitCode::CannotStart, Error::new(error).context(what))
        })?;
        let grant = |address: SocketAddr| {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            Self { hosts: Hosts::Network(address.ip(), bits), ports: self.ports.clone() }
        };
        Ok(found.map(grant).collect())
    }

    fn allows(&self, address: &SocketAddr) -> bool {
        let is_host = match &self.hosts {
            Hosts::Any => true,
            Hosts::Network(network, bits) => begins_with(address.ip(), *network, *bits),
            Hosts::Name(_) => false,
        };
        is_host && self.ports.contains(&address.port())
    }

    /// Returns whether it allows a host that is written as in URIs: a name, or an address.
    pub(super) fn allows_host(&self, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
        match (&self.hosts, ip) {
            (Hosts::Name(name), _) => self.ports.contains(&port) && name.eq_ignore_ascii_case(host),
            (_, Some(ip)) => self.allows(&SocketAddr::new(ip, port)),
            (Hosts::Any, None) => self.ports.contains(&port),
            (Hosts::Network(..), None) => false,
        }
    }

    fn name(&self) -> Option<String> {
        match &self.hosts {
            Hosts::Name(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        }
    }
}

/// Grants addresses, and look-ups of the names among them.
///
/// # Errors
///
/// Returns an error if a name cannot be looked up.
pub(super) fn grant(
    builder: &mut WasiCtxBuilder,
    tcp: &[NetworkGrant],
    udp: &[NetworkGrant],
) -> Result<(), Failure> {
    let resolved = |grants: &[NetworkGrant], option| {
        let all = grants.iter().map(|grant| grant.resolve(option)).collect::<Result<Vec<_>, _>>()?;
        Ok::<_, Failure>(all.concat())
    };
    let names: Vec<String> = tcp.iter().chain(udp).filter_map(NetworkGrant::name).collect();
    let (tcp, udp) = (resolved(tcp, "--allow-tcp")?, resolved(udp, "--allow-udp")?);
    builder.name_lookup_check(move |name| names.contains(&name.to_ascii_lowercase()));
    builder.socket_addr_check(move |address, what| match what {
        SocketAddrUse::TcpBind | SocketAddrUse::TcpConnect => tcp.iter().any(|grant| grant.allows(&address)),
        // Whoever sends a datagram needs an address of its own first: any will do.
        SocketAddrUse::UdpBind if address.port() == 0 && address.ip().is_unspecified() => !udp.is_empty(),
        SocketAddrUse::UdpBind | SocketAddrUse::UdpConnect | SocketAddrUse::UdpOutgoingDatagram => {
            udp.iter().any(|grant| grant.allows(&address))
        }
    });
    Ok(())
}

/// Says what was denied, and which option would allow it.
pub(super) fn describe(denied: &DeniedUse) -> String {
    let option = match denied {
        DeniedUse::Address(address, SocketAddrUse::TcpBind | SocketAddrUse::TcpConnect) => {
            format!("--allow-tcp {address}")
        }
        DeniedUse::Address(address, _) => format!("--allow-udp {address}"),
        DeniedUse::NameLookup(name) => {
            return format!(
                "the guest was denied {denied}: `--allow-tcp {}:PORT` or `--inherit-network` allows it",
                OutsideText::new(name)
            );
        }
        _ => String::from("--inherit-network"),
    };
    format!("the guest was denied {denied}: `{option}` allows it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_allow_what_they_say() {
        let allows = |grant: &str, address: &str| {
            grant.parse::<NetworkGrant>().unwrap().allows(&address.parse().unwrap())
        };
        assert!(allows("127.0.0.1:80", "127.0.0.1:80"));
        assert!(!allows("127.0.0.1:80", "127.0.0.1:81"));
        assert!(!allows("127.0.0.1:80", "127.0.0.2:80"));
        assert!(allows("127.0.0.0/8:*", "127.9.9.9:1"));
        assert!(!allows("127.0.0.0/8:*", "128.0.0.1:1"));
        assert!(allows("0.0.0.0/0:8000-8010", "1.2.3.4:8010"));
        assert!(!allows("0.0.0.0/0:8000-8010", "[::1]:8010"));
        assert!(allows("*:53", "[::1]:53"));
        assert!(allows("[::1]:80", "[::1]:80"));
        assert!(allows("[fe80::]/10:1", "[fe80::7]:1"));
        for bad in ["", "a", "a:b", ":80", "a b:80", "1.2.3.4/33:1", "a:2-1", "a:70000", "[::1:80", "a/8:1"] {
            assert!(bad.parse::<NetworkGrant>().is_err(), "{bad}");
        }
        assert_eq!("Example.com:443".parse::<NetworkGrant>().unwrap().name().as_deref(), Some("example.com"));
    }
}
