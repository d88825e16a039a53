//! `--allow-http`: hosts to which the guest may send requests.

use super::network_grant::NetworkGrant;
use belljar::OutsideText;
use belljar_wasi_http::{Destination, WasiHttpCtx};
use std::str::FromStr;

/// `HOST[:PORT]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct HttpGrant(NetworkGrant);

impl FromStr for HttpGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The colons of an IPv6 address stand in brackets.
        let has_port = text.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
        let grant = if has_port { text.parse() } else { format!("{text}:*").parse() };
        grant.map(Self).map_err(|_| {
            format!(
                "expected HOST[:PORT], found `{}`: HOST is a name, an address (IPv6 in brackets), a network such as \
                 10.0.0.0/8, or *; PORT is a number, a range such as 8000-8999, or *",
                OutsideText::new(text)
            )
        })
    }
}

impl HttpGrant {
    fn allows(&self, to: &Destination) -> bool {
        self.0.allows_host(to.host(), to.ip(), to.port())
    }
}

/// Grants requests to these hosts.
pub(super) fn grant<'a>(http: &'a mut WasiHttpCtx, grants: &[HttpGrant]) -> &'a mut WasiHttpCtx {
    let grants = grants.to_vec();
    http.allow_requests(move |to| grants.iter().any(|grant| grant.allows(to)))
}

/// Says what was denied, and which option would allow it.
pub(super) fn describe(denied: &Destination) -> String {
    let (host, port) = (OutsideText::new(denied.host()), denied.port());
    format!("the guest was denied a request to {denied}: `--allow-http {host}:{port}` allows it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_have_a_host_and_perhaps_a_port() {
        let allows = |grant: &str, host: &str, port: u16| {
            let HttpGrant(grant) = grant.parse::<HttpGrant>().unwrap();
            let ip = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
            grant.allows_host(host, ip, port)
        };
        assert!(allows("example.com", "example.com", 443) && allows("Example.com", "example.com", 8080));
        assert!(allows("example.com:80", "example.com", 80) && !allows("example.com:80", "example.com", 443));
        assert!(!allows("example.com", "www.example.com", 80) && !allows("example.com", "127.0.0.1", 80));
        assert!(allows("*", "example.com", 1) && allows("*:80", "127.0.0.1", 80) && !allows("*:80", "a", 81));
        assert!(allows("127.0.0.0/8", "127.0.0.1", 80) && !allows("127.0.0.0/8", "localhost", 80));
        assert!(
            allows("[::1]", "[::1]", 80)
                && allows("[::1]:80", "[::1]", 80)
                && !allows("[::1]:80", "[::1]", 81)
        );
        for bad in ["", "a b", "http://a", "a:x", "::1", "a/b", "[::1]:", ":80"] {
            assert!(bad.parse::<HttpGrant>().is_err(), "{bad}");
        }
    }
}
