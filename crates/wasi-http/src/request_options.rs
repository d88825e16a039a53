//! How long a request may take.

use std::time::Duration;

/// How long each part of a request may take, where the guest and the embedder have set nothing: ten minutes.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// A resource `request-options`: how long each part of a request may take.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct RequestOptions {
    /// How long connecting may take.
    pub connect_timeout: Option<Duration>,
    /// How long the response's status and headers may take, once the request is being sent.
    pub first_byte_timeout: Option<Duration>,
    /// How long the next bytes of the response's body may take.
    pub between_bytes_timeout: Option<Duration>,
}

impl RequestOptions {
    /// Returns these options; where one is not set, the default's.
    pub(crate) fn or(self, default: Self) -> Self {
        Self {
            connect_timeout: self.connect_timeout.or(default.connect_timeout),
            first_byte_timeout: self.first_byte_timeout.or(default.first_byte_timeout),
            between_bytes_timeout: self.between_bytes_timeout.or(default.between_bytes_timeout),
        }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout.unwrap_or(DEFAULT_TIMEOUT)
    }

    pub(crate) fn first_byte_timeout(&self) -> Duration {
        self.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT)
    }

    pub(crate) fn between_bytes_timeout(&self) -> Duration {
        self.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT)
    }
}
