//! The types of WASI 0.2 in Rust, at the paths under which Wasmtime has them, and the world `wasi:cli/command`.
//!
//! A `bindgen!` of your own that imports interfaces of WASI uses these types by its option `with`:
//! `"wasi:io/streams": belljar_wasi::p2::bindings::io::streams`.

/// `wasi:io`.
pub mod io {
    /// `wasi:io/error`.
    pub mod error {
        pub use crate::p2::IoError as Error;
    }

    /// `wasi:io/poll`.
    pub mod poll {
        pub use crate::p2::DynPollable as Pollable;
    }

    /// `wasi:io/streams`.
    pub mod streams {
        pub use super::error::Error;
        pub use super::poll::Pollable;
        pub use crate::p2::{DynInputStream as InputStream, DynOutputStream as OutputStream, StreamError};
    }
}

/// `wasi:clocks`.
pub mod clocks {
    /// `wasi:clocks/monotonic-clock`.
    pub mod monotonic_clock {
        /// A time, in nanoseconds since a moment that is the same for the whole run.
        pub type Instant = u64;
        /// A time span in nanoseconds.
        pub type Duration = u64;
    }

    /// `wasi:clocks/wall-clock`.
    pub mod wall_clock {
        use belljar::component::{ComponentType, Lift, Lower};

        /// A time: seconds since 1970, and nanoseconds.
        #[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
        #[component(record)]
        pub struct Datetime {
            /// Seconds since 1970.
            pub seconds: u64,
            /// Nanoseconds, less than a thousand millions.
            pub nanoseconds: u32,
        }
    }
}

/// `wasi:filesystem`.
pub mod filesystem {
    /// `wasi:filesystem/types`.
    pub mod types {
        pub use crate::p2::filesystem::types::*;
        pub use crate::p2::open_file::{DirectoryEntryStream, OpenDescriptor as Descriptor};
    }
}

/// `wasi:sockets`.
pub mod sockets {
    /// `wasi:sockets/network`.
    pub mod network {
        pub use crate::p2::sockets::types::*;
    }
}

/// The world `wasi:cli/command`, for calls that block the thread.
pub mod sync {
    pub use crate::p2::command::{Command, CommandPre, Run};
}
