//! Where a request goes.

use crate::types::{ErrorCode, Scheme};
use belljar::OutsideText;
use http::Uri;
use std::fmt;
use std::net::IpAddr;

/// Where a guest wants to send a request. It prints as a URI without a path: `https://example.com:443`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Destination {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Destination {
    /// Returns the destination of a request.
    ///
    /// # Errors
    ///
    /// Returns an error if the URI names none.
    pub(crate) fn of(uri: &Uri) -> Result<Self, ErrorCode> {
        let scheme = uri.scheme().map(Scheme::from).ok_or(ErrorCode::HttpProtocolError)?;
        let authority = uri.authority().ok_or(ErrorCode::HttpRequestUriInvalid)?;
        // No user name, which could be mistaken for the host.
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(ErrorCode::HttpRequestUriInvalid);
        }
        let default = match scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
            Scheme::Other(_) => return Err(ErrorCode::HttpProtocolError),
        };
        let port = match has_port(authority.as_str()) {
            true => authority.port_u16().ok_or(ErrorCode::HttpRequestUriInvalid)?,
            false => default,
        };
        Ok(Self { scheme, host: authority.host().to_ascii_lowercase(), port })
    }

    /// Returns the scheme: HTTP or HTTPS.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Returns the host's name or address, in small letters. An IPv6 address stands in brackets.
    ///
    /// Resolvers know other spellings of addresses, such as `127.1`: allow what is known, instead of denying what is.
    /// [`WasiHttpCtx::allow_addresses`](crate::WasiHttpCtx::allow_addresses) sees the addresses themselves.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn host_without_brackets(&self) -> &str {
        self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&self.host)
    }

    /// Returns the host if it is an address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host_without_brackets().parse().ok()
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.as_str(), OutsideText::new(&self.host), self.port)
    }
}

/// Returns whether an authority has a port, valid or not.
pub(crate) fn has_port(authority: &str) -> bool {
    // Those in an IPv6 address separate no port.
    authority.rsplit(']').next().unwrap_or_default().contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_those_of_the_uri() {
        let show = |uri: &'static str| Destination::of(&Uri::from_static(uri)).map(|found| found.to_string());
        assert_eq!(show("http://Example.com/a?b"), Ok("http://example.com:80".into()));
        assert_eq!(show("https://example.com"), Ok("https://example.com:443".into()));
        assert_eq!(show("https://[::1]:8080/"), Ok("https://[::1]:8080".into()));
        assert_eq!(show("https://[::1]/"), Ok("https://[::1]:443".into()));
        for (uri, error) in [
            ("http://example.com:99999/", ErrorCode::HttpRequestUriInvalid),
            ("http://user@example.com/", ErrorCode::HttpRequestUriInvalid),
            ("http://allowed.com:80@example.com/", ErrorCode::HttpRequestUriInvalid),
            ("ftp://example.com/", ErrorCode::HttpProtocolError),
            ("/path", ErrorCode::HttpProtocolError),
        ] {
            assert_eq!(show(uri), Err(error), "{uri}");
        }
        let ip = |uri: &'static str| Destination::of(&Uri::from_static(uri)).unwrap().ip();
        assert_eq!(ip("http://[::1]/"), Some("::1".parse().unwrap()));
        assert_eq!(ip("http://a/"), None);
    }
}
