//! The component model: components, their instances, and calls with values of their types.
//!
//! A [`Component`] contains core modules, and functions with types such as strings, lists, records and resources. A
//! [`Linker`] defines what it imports; an [`Instance`] gives access to what it exports.
//!
//! ```
//! use belljar::component::{Component, Linker, Val};
//! use belljar::{Engine, Store};
//! let engine = Engine::default();
//! let component = Component::new(&engine, r#"(component
//!     (import "name" (func $name (result string)))
//!     (core module $libc
//!         (memory (export "memory") 1)
//!         (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 16)))
//!     (core instance $libc (instantiate $libc))
//!     (core func $lowered (canon lower (func $name)
//!         (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
//!     (core module $m
//!         (import "host" "name" (func $name (param i32)))
//!         ;; Returns what it is given.
//!         (func (export "run") (result i32) (call $name (i32.const 0)) (i32.const 0)))
//!     (core instance $m (instantiate $m (with "host" (instance (export "name" (func $lowered))))))
//!     (func (export "run") (result string)
//!         (canon lift (core func $m "run") (memory (core memory $libc "memory")))))"#)?;
//! let mut linker = Linker::new(&engine);
//! linker.root().func_new("name", |_store, _ty, _params, results| {
//!     results[0] = Val::String("bell jar".into());
//!     Ok(())
//! })?;
//! let mut store = Store::new(&engine, ());
//! let instance = linker.instantiate(&mut store, &component)?;
//! let run = instance.get_func(&mut store, "run").unwrap();
//! let mut results = [Val::Bool(false)];
//! run.call(&mut store, &[], &mut results)?;
//! assert_eq!(results[0], Val::String("bell jar".into()));
//! # Ok::<(), belljar::Error>(())
//! ```

mod adapters;
pub(crate) mod artifact;
#[cfg(feature = "bindgen")]
mod bindgen;
mod builtins;
mod checkpoint;
mod code;
mod data;
mod destructor;
mod exit;
mod export_index;
mod flags;
mod func;
mod guest;
mod handles;
mod host_func;
mod host_handles;
mod instance;
mod instance_flags;
mod instance_pre;
mod lifted;
mod linked;
mod linker;
mod names;
mod resource;
mod resource_table;
mod rewind;
mod sandboxed;
mod save;
mod snapshot;
mod start;
mod state;
mod typed_func;
mod val;

#[cfg(feature = "bindgen")]
#[doc(hidden)]
pub use belljar_bindgen::bindgen as __bindgen;
pub use belljar_component::abi::{FlatSink, FlatValues, LiftContext, LowerContext};
#[doc(hidden)]
pub use belljar_component::typed::derive as __derive;
pub use belljar_component::typed::{
    ComponentType, HostTypes, Lift, LiftParams, LiftResults, Lower, LowerParams, LowerResults,
};
pub use belljar_component::types;
pub use belljar_component::types::Type;
/// # Examples
///
/// ```
/// belljar::component::flags! {
///     /// What may be done with a file.
///     Access {
///         /// It may be read.
///         #[component(name = "read")]
///         const READ;
///         const WRITE_ALL;
///     }
/// }
/// let both = Access::READ | Access::WRITE_ALL;
/// assert!(both.contains(Access::READ) && !Access::empty().contains(Access::READ));
/// assert_eq!(format!("{both:?}"), "Access(read | write-all)");
/// ```
pub use belljar_component_macro::flags;
/// # Examples
///
/// ```
/// use belljar::component::{ComponentType, Lift, Lower};
///
/// #[derive(ComponentType, Lift, Lower)]
/// #[component(record)]
/// struct Entry {
///     file_name: String, // The field `file-name`.
///     #[component(name = "bytes")]
///     size: u64,
///     kind: Kind,
/// }
///
/// #[derive(ComponentType, Lift, Lower)]
/// #[component(variant)]
/// enum Kind {
///     File,
///     LinkTo(String),
/// }
/// ```
pub use belljar_component_macro::{ComponentType, Lift, Lower};
#[cfg(feature = "bindgen")]
#[doc(inline)]
pub use bindgen::bindgen;
pub use code::Component;
pub use data::{Access, HasData, HasSelf};
pub use export_index::{ComponentExportIndex, InstanceExportLookup};
pub use func::Func;
pub use instance::Instance;
pub use instance_pre::InstancePre;
pub use linker::{Linker, LinkerInstance};
pub use resource::{Resource, ResourceAny, ResourceType};
pub use resource_table::{ResourceTable, ResourceTableError};
pub use typed_func::TypedFunc;
pub use val::Val;

pub(crate) use save::of_store as snapshot_of_store;
