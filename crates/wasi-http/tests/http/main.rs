//! Guests that send requests and answer them, with real connections.

mod client;
mod guest;
mod serve;
mod server;
#[cfg(feature = "tls")]
mod tls;
