//! The types of `wasi:http` in Rust, at the paths under which Wasmtime has them, and the world `wasi:http/proxy`.

/// `wasi:http`.
pub mod http {
    /// `wasi:http/types`.
    pub mod types {
        pub use crate::fields::Fields;
        pub use crate::future_response::FutureIncomingResponse;
        pub use crate::incoming_body::{FutureTrailers, IncomingBody};
        pub use crate::messages::{
            IncomingRequest, IncomingResponse, OutgoingRequest, OutgoingResponse, ResponseOutparam,
        };
        pub use crate::outgoing_body::OutgoingBody;
        pub use crate::request_options::RequestOptions;
        pub use crate::types::*;
        pub use belljar_wasi::p2::IoError;

        /// Headers.
        pub type Headers = Fields;
        /// Trailers.
        pub type Trailers = Fields;
        /// A status.
        pub type StatusCode = u16;
        /// The name of a field.
        pub type FieldName = String;
        /// The value of a field.
        pub type FieldValue = Vec<u8>;
        /// A time span in nanoseconds.
        pub type Duration = u64;
    }
}

/// The world `wasi:http/proxy`, for calls that block the thread.
pub mod sync {
    pub use crate::p2::proxy::{IncomingHandler, Proxy, ProxyPre};
}
