//! The component model: describes components, and lifts and lowers values.
//!
//! ```text
//! bytes ─ definitions ─▶ a valid tree of definitions ─ flatten ─▶ Component: a plan without nesting
//! ```
//!
//! In: a component's binary. Out: a [`Component`]. Never: a store, a signal or a file; core modules are compiled and
//! instantiated by the crate above.

pub mod abi;
pub mod adapters;
mod core_types;
mod definitions;
mod flatten;
mod frame;
mod plan;
mod resource;
mod scratch;
mod skeleton;
pub mod typed;
pub mod types;
mod unsupported;
mod val;
#[cfg(feature = "wave")]
mod wave;

pub use core_types::{CoreExternType, CoreFuncType, Limits, ModuleType};
pub use plan::*;
pub use resource::{Passed, ResourceTypeId};
pub use scratch::Scratch;
pub use skeleton::skeleton;
pub use val::{Val, check_params};
pub use wasmparser::WasmFeatures;

impl Component {
    /// Validates a component, except for the bodies of functions of its core modules, and describes it.
    ///
    /// # Errors
    ///
    /// Returns an error if the binary is not a valid component, uses something that belljar does not have, or describes
    /// more instances than fit.
    pub fn new(wasm: &[u8], features: WasmFeatures) -> belljar_core::Result<Self> {
        flatten::flatten(definitions::parse(wasm, features)?)
    }
}
