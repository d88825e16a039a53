//! The optimizing tier: compiles validated function bodies to machine code through Cranelift.
//!
//! In: a [`belljar_compile::ModulePlan`] and a function index. Out: a [`belljar_abi::CompiledFunction`]. Never: `unsafe`.
//! No other crate uses Cranelift.
//!
//! Without the feature `cranelift` there is no tier, only what is known of its code: which build of the tier made it
//! ([`ORIGIN`]), and whether this machine can run it ([`host_features`], [`HOST_TARGET`]). That takes no time to build.

mod host;
mod origin;
#[cfg(feature = "cranelift")]
mod tier;

pub use host::{HOST_TARGET, host_features};
pub use origin::ORIGIN;
#[cfg(feature = "cranelift")]
pub use tier::{CRANELIFT_VERSION, ClifSink, Optimizer};
