//! What this build of the library can do, for `belljar --version`.

use crate::config::{SWITCHES, everything, proposal};

/// Returns the WebAssembly features that are enabled by default, by the names of their proposals.
#[doc(hidden)]
pub fn default_wasm_features() -> impl Iterator<Item = String> {
    let on = SWITCHES.iter().filter(|(_, feature)| everything().contains(*feature));
    on.map(|(switch, _)| proposal(switch))
}

/// Returns the cargo features that the library was built with.
#[doc(hidden)]
pub fn cargo_features() -> impl Iterator<Item = &'static str> {
    let all = [
        ("anyhow", cfg!(feature = "anyhow")),
        ("flamegraph", cfg!(feature = "flamegraph")),
        ("pprof", cfg!(feature = "pprof")),
    ];
    all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name)
}
