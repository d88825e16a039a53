//! The values of `wasi:http/types`, as guests and embedders exchange them.

use belljar::component::{ComponentType, Lift, Lower};
use std::fmt;

/// A request's method.
#[derive(ComponentType, Lift, Lower, Clone, PartialEq, Eq, Hash, Debug)]
#[component(variant)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
    /// `CONNECT`.
    Connect,
    /// `OPTIONS`.
    Options,
    /// `TRACE`.
    Trace,
    /// `PATCH`.
    Patch,
    /// Another one.
    Other(String),
}

impl From<&http::Method> for Method {
    fn from(method: &http::Method) -> Self {
        match method.as_str() {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "CONNECT" => Self::Connect,
            "OPTIONS" => Self::Options,
            "TRACE" => Self::Trace,
            "PATCH" => Self::Patch,
            other => Self::Other(other.into()),
        }
    }
}

impl TryFrom<&Method> for http::Method {
    type Error = http::method::InvalidMethod;

    fn try_from(method: &Method) -> Result<Self, Self::Error> {
        Ok(match method {
            Method::Get => Self::GET,
            Method::Head => Self::HEAD,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Delete => Self::DELETE,
            Method::Connect => Self::CONNECT,
            Method::Options => Self::OPTIONS,
            Method::Trace => Self::TRACE,
            Method::Patch => Self::PATCH,
            Method::Other(other) => Self::from_bytes(other.as_bytes())?,
        })
    }
}

/// The scheme of a URI.
#[derive(ComponentType, Lift, Lower, Clone, PartialEq, Eq, Hash, Debug)]
#[component(variant)]
pub enum Scheme {
    /// `http`.
    #[component(name = "HTTP")]
    Http,
    /// `https`.
    #[component(name = "HTTPS")]
    Https,
    /// Another one.
    Other(String),
}

impl Scheme {
    /// Returns its name as URIs have it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Other(other) => other,
        }
    }
}

impl From<&http::uri::Scheme> for Scheme {
    fn from(scheme: &http::uri::Scheme) -> Self {
        match scheme.as_str() {
            "http" => Self::Http,
            "https" => Self::Https,
            other => Self::Other(other.into()),
        }
    }
}

/// What is known of an error of a name look-up.
#[derive(ComponentType, Lift, Lower, Clone, PartialEq, Eq, Debug)]
#[component(record)]
pub struct DnsErrorPayload {
    /// The response code.
    pub rcode: Option<String>,
    /// The information code.
    pub info_code: Option<u16>,
}

/// What is known of an alert of TLS.
#[derive(ComponentType, Lift, Lower, Clone, PartialEq, Eq, Debug)]
#[component(record)]
pub struct TlsAlertReceivedPayload {
    /// Its number.
    pub alert_id: Option<u8>,
    /// Its name.
    pub alert_message: Option<String>,
}

/// A field that is too large.
#[derive(ComponentType, Lift, Lower, Clone, PartialEq, Eq, Debug)]
#[component(record)]
pub struct FieldSizePayload {
    /// Its name.
    pub field_name: Option<String>,
    /// Its size in bytes.
    pub field_size: Option<u32>,
}

macro_rules! error_codes {
    ($($case:ident $(($payload:ty))?, $name:literal, $doc:literal;)*) => {
        /// Why a request or response failed: the error codes of `wasi:http`.
        #[derive(ComponentType, Lift, Lower, Clone, PartialEq, Eq, Debug)]
        #[component(variant)]
        pub enum ErrorCode {
            $(
                #[doc = $doc]
                #[component(name = $name)]
                $case $(($payload))?,
            )*
        }

        impl ErrorCode {
            /// Returns its name in WIT, such as `connection-refused`.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$case { .. } => $name,)*
                }
            }
        }
    };
}

error_codes! {
    DnsTimeout, "DNS-timeout", "A name look-up took too long.";
    DnsError(DnsErrorPayload), "DNS-error", "A name look-up failed.";
    DestinationNotFound, "destination-not-found", "There is no such destination.";
    DestinationUnavailable, "destination-unavailable", "The destination cannot be reached.";
    DestinationIpProhibited, "destination-IP-prohibited", "The embedder does not allow the address.";
    DestinationIpUnroutable, "destination-IP-unroutable", "There is no way to the address.";
    ConnectionRefused, "connection-refused", "The destination does not accept connections.";
    ConnectionTerminated, "connection-terminated", "The connection has ended too early.";
    ConnectionTimeout, "connection-timeout", "Connecting took too long.";
    ConnectionReadTimeout, "connection-read-timeout", "Nothing was received for too long.";
    ConnectionWriteTimeout, "connection-write-timeout", "Nothing could be sent for too long.";
    ConnectionLimitReached, "connection-limit-reached", "Too many requests are in flight.";
    TlsProtocolError, "TLS-protocol-error", "The other side has violated TLS.";
    TlsCertificateError, "TLS-certificate-error", "The other side's certificate is not valid.";
    TlsAlertReceived(TlsAlertReceivedPayload), "TLS-alert-received", "The other side has refused the connection by TLS.";
    HttpRequestDenied, "HTTP-request-denied", "The guest was not granted this request.";
    HttpRequestLengthRequired, "HTTP-request-length-required", "The request needs a length.";
    HttpRequestBodySize(Option<u64>), "HTTP-request-body-size", "The request's body has another size than its header says.";
    HttpRequestMethodInvalid, "HTTP-request-method-invalid", "The method is not valid.";
    HttpRequestUriInvalid, "HTTP-request-URI-invalid", "The URI is not valid.";
    HttpRequestUriTooLong, "HTTP-request-URI-too-long", "The URI is too long.";
    HttpRequestHeaderSectionSize(Option<u32>), "HTTP-request-header-section-size", "The request's headers are too large.";
    HttpRequestHeaderSize(Option<FieldSizePayload>), "HTTP-request-header-size", "A header of the request is too large.";
    HttpRequestTrailerSectionSize(Option<u32>), "HTTP-request-trailer-section-size", "The request's trailers are too large.";
    HttpRequestTrailerSize(FieldSizePayload), "HTTP-request-trailer-size", "A trailer of the request is too large.";
    HttpResponseIncomplete, "HTTP-response-incomplete", "The response ends too early.";
    HttpResponseHeaderSectionSize(Option<u32>), "HTTP-response-header-section-size", "The response's headers are too large.";
    HttpResponseHeaderSize(FieldSizePayload), "HTTP-response-header-size", "A header of the response is too large.";
    HttpResponseBodySize(Option<u64>), "HTTP-response-body-size", "The response's body has another size than its header says.";
    HttpResponseTrailerSectionSize(Option<u32>), "HTTP-response-trailer-section-size", "The response's trailers are too large.";
    HttpResponseTrailerSize(FieldSizePayload), "HTTP-response-trailer-size", "A trailer of the response is too large.";
    HttpResponseTransferCoding(Option<String>), "HTTP-response-transfer-coding", "The response's transfer coding is not known.";
    HttpResponseContentCoding(Option<String>), "HTTP-response-content-coding", "The response's content coding is not known.";
    HttpResponseTimeout, "HTTP-response-timeout", "The response took too long.";
    HttpUpgradeFailed, "HTTP-upgrade-failed", "The protocol could not be changed.";
    HttpProtocolError, "HTTP-protocol-error", "A side has violated HTTP.";
    LoopDetected, "loop-detected", "The request has come back.";
    ConfigurationError, "configuration-error", "The host is not set up correctly.";
    InternalError(Option<String>), "internal-error", "Something else has failed.";
}

impl ErrorCode {
    pub(crate) fn internal(why: impl fmt::Display) -> Self {
        Self::InternalError(Some(why.to_string()))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::InternalError(Some(text)) => write!(f, ": {text}"),
            Self::DnsError(DnsErrorPayload { rcode: Some(text), .. })
            | Self::TlsAlertReceived(TlsAlertReceivedPayload { alert_message: Some(text), .. }) => {
                write!(f, ": {text}")
            }
            Self::HttpRequestBodySize(Some(size)) | Self::HttpResponseBodySize(Some(size)) => {
                write!(f, ": {size} bytes")
            }
            Self::HttpRequestHeaderSectionSize(Some(size))
            | Self::HttpRequestTrailerSectionSize(Some(size))
            | Self::HttpResponseHeaderSectionSize(Some(size))
            | Self::HttpResponseTrailerSectionSize(Some(size)) => write!(f, ": {size} bytes"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ErrorCode {}

impl From<std::convert::Infallible> for ErrorCode {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// Why a change of header fields was refused.
#[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
#[component(variant)]
pub enum HeaderError {
    /// A name or a value is not valid.
    InvalidSyntax,
    /// The guest may not set this field.
    Forbidden,
    /// The fields cannot be changed.
    Immutable,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidSyntax => "the name or a value of the field is not valid",
            Self::Forbidden => "the guest may not set this field",
            Self::Immutable => "the fields cannot be changed",
        })
    }
}

impl std::error::Error for HeaderError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_the_same_both_ways() {
        for name in ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"]
        {
            let method = http::Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(http::Method::try_from(&Method::from(&method)).unwrap(), method);
        }
        assert!(http::Method::try_from(&Method::Other("A B".into())).is_err());
    }

    #[test]
    fn errors_are_shown_by_their_names() {
        assert_eq!(ErrorCode::DestinationIpProhibited.to_string(), "destination-IP-prohibited");
        assert_eq!(ErrorCode::HttpRequestBodySize(Some(3)).to_string(), "HTTP-request-body-size: 3 bytes");
        assert_eq!(ErrorCode::internal("why").to_string(), "internal-error: why");
    }
}
