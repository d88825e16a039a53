//! The macro that generates Rust code from WIT.

#[doc(hidden)]
#[macro_export]
macro_rules! __component_bindgen {
    ($($argument:tt)*) => {
        // The generated code names this crate by `$crate`, whatever the user calls it.
        $crate::component::__bindgen! { ($crate) $($argument)* }
    };
}

/// Generates Rust code for a world of [WIT](https://component-model.bytecodealliance.org/design/wit.html): types, traits that
/// the host implements for what guests import, and structs by which it calls what guests export.
///
/// Names, options and generated code are those of Wasmtime's macro of this name, without `async`.
///
/// ```
/// use belljar::component::{Component, HasSelf, Linker, Resource, ResourceTable, bindgen};
/// use belljar::{Engine, Result, Store};
///
/// /// The value of a resource of the host's.
/// pub struct Counter(u64);
///
/// bindgen!({
///     inline: r#"
///         package example:counting;
///         interface counters {
///             resource counter {
///                 constructor(start: u64);
///                 next: func() -> u64;
///             }
///         }
///         world counting {
///             import counters;
///             /// Counts twice.
///             export count: func(start: u64) -> u64;
///         }
///     "#,
///     with: { "example:counting/counters.counter": Counter },
///     imports: { "example:counting/counters.[method]counter.next": trappable },
/// });
///
/// #[derive(Default)]
/// struct State {
///     table: ResourceTable,
/// }
///
/// use example::counting::counters;
///
/// impl counters::Host for State {}
///
/// impl counters::HostCounter for State {
///     fn new(&mut self, start: u64) -> Resource<Counter> {
///         self.table.push(Counter(start)).expect("room for one more")
///     }
///
///     // `trappable`: an error ends the guest's call.
///     fn next(&mut self, counter: Resource<Counter>) -> Result<u64> {
///         let counter = self.table.get_mut(&counter)?;
///         counter.0 += 1;
///         Ok(counter.0)
///     }
///
///     fn drop(&mut self, counter: Resource<Counter>) -> Result<()> {
///         self.table.delete(counter)?;
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let engine = Engine::default();
/// # let component = Component::new(&engine, r#"(component
/// #     (import "example:counting/counters" (instance $counters
/// #         (export "counter" (type $counter (sub resource)))
/// #         (export "[constructor]counter" (func (param "start" u64) (result (own $counter))))
/// #         (export "[method]counter.next" (func (param "self" (borrow $counter)) (result u64)))))
/// #     (alias export $counters "counter" (type $counter))
/// #     (core func $new (canon lower (func $counters "[constructor]counter")))
/// #     (core func $next (canon lower (func $counters "[method]counter.next")))
/// #     (core func $drop (canon resource.drop $counter))
/// #     (core module $m
/// #         (import "" "new" (func $new (param i64) (result i32)))
/// #         (import "" "next" (func $next (param i32) (result i64)))
/// #         (import "" "drop" (func $drop (param i32)))
/// #         (func (export "count") (param i64) (result i64) (local $counter i32)
/// #             (local.set $counter (call $new (local.get 0)))
/// #             (drop (call $next (local.get $counter)))
/// #             (call $next (local.get $counter))
/// #             (call $drop (local.get $counter))))
/// #     (core instance $m (instantiate $m (with "" (instance
/// #         (export "new" (func $new)) (export "next" (func $next)) (export "drop" (func $drop))))))
/// #     (func (export "count") (param "start" u64) (result u64) (canon lift (core func $m "count"))))"#)?;
/// # /*
/// let component = Component::from_file(&engine, "counting.wasm")?;
/// # */
/// let mut linker = Linker::new(&engine);
/// Counting::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut State| state)?;
/// let mut store = Store::new(&engine, State::default());
/// let counting = Counting::instantiate(&mut store, &component, &linker)?;
/// assert_eq!(counting.call_count(&mut store, 5)?, 7);
/// # Ok(())
/// # }
/// ```
///
/// # Arguments
///
/// | | |
/// |---|---|
/// | `bindgen!()` | the only world of the package in the folder `wit` of the crate |
/// | `bindgen!("world")` | a world of that package |
/// | `bindgen!("world" in "path")`, `bindgen!(in "path")` | a world of the package in another file or folder |
/// | `bindgen!({ option: value, … })` | what the options say |
///
/// | option | |
/// |---|---|
/// | `path: "…"` or `["…", …]` | files or folders with WIT, relative to the crate's folder |
/// | `inline: "…"` | WIT. It can refer to the packages of `path` |
/// | `world: "…"` | the world: its name, or `namespace:package/name` |
/// | `imports: { "…": flags, default: flags }` | how functions of the host are generated. A function is named `namespace:package/interface.function`, and one of a resource `….[method]resource.function`, `[static]`, `[constructor]resource` or `[drop]resource`. Names of interfaces, packages and namespaces stand for all their functions. The flags, joined by <code>\|</code>: `trappable`, the function returns a [`Result`](crate::Result) whose error ends the guest's call; `tracing` and `verbose_tracing`, calls are reported to the crate `tracing`; `store`, the function gets the store as an [`Access`](super::Access); `exact`, the name stands only for a function |
/// | `exports: { … }` | the same for functions of the guest, with `tracing` and `verbose_tracing` |
/// | `with: { "…": path }` | code that exists already: a module for an interface, a package or a namespace, or a type for a resource (`namespace:package/interface.resource`). It must be public |
/// | `trappable_error_type: { "…" => Type }` | the Rust type that trappable functions return for an error of WIT (`namespace:package/interface.type`). The trait of the type's interface gets a method that converts it: `convert_error_code` |
/// | `ownership: Borrowing { duplicate_if_necessary: … }` | types that are passed to the guest borrow what they consist of: all the way down, with a second type where one is needed that owns; or, without duplicates, only those types that are never returned |
/// | `additional_derives: [Path, …]` | traits that are derived for records, variants and enums |
/// | `only_interfaces: true`, `interfaces: "import …;"` | interfaces of a world, or of those that are listed, and no world |
/// | `require_store_data_send: true` | the store's data must be `Send` |
/// | `skip_mut_forwarding_impls: true` | the traits are not implemented for `&mut T` |
/// | `anyhow: true` | functions of the host return `anyhow::Result` |
/// | `wasmtime_crate: path` | what the generated code calls the crate `belljar` |
/// | `include_generated_code_from_file: true` | the code is written to a file, to which errors of the compiler refer. So does the environment variable `BELLJAR_DEBUG_BINDGEN` for all uses. Where the crate has another name than `belljar`, `wasmtime_crate` has to say it |
/// | `stringify: true` | the macro becomes a string with the code |
///
/// # What is generated
///
/// For an interface `ns:pkg/name` that the world imports, a module `ns::pkg::name`; if the world exports it,
/// `exports::ns::pkg::name`. Packages with several versions have them in their modules' names: `pkg0_2_0`.
///
/// | WIT | Rust |
/// |---|---|
/// | record, variant, enum | a struct or an enum. It is `Copy` or `Clone` if its parts are; the error of a function is an [`Error`](std::error::Error) |
/// | flags | a type by [`flags!`](super::flags) |
/// | list, string, `list<T, N>`, map | `Vec<T>`, `String`, `[T; N]`, `HashMap<K, V>`; as parameters of the guest's functions `&[T]`, `&str` |
/// | tuple, option, result | tuple, `Option`, `Result` |
/// | a resource of the host's | [`Resource<T>`](super::Resource), where `T` is a type without values, or the one in `with` |
/// | a resource of the guest's | [`ResourceAny`](super::ResourceAny) |
///
/// - `Host` is what the host implements for an imported interface, `HostThing` for its resource `thing`, and `NameImports` for
///   what the world `name` imports outside of interfaces.
/// - `add_to_linker` of a module or of the world's struct defines them in a [`Linker`](super::Linker). Its type parameter is a
///   [`HasData`](super::HasData), such as [`HasSelf`](super::HasSelf).
/// - The struct `Name` stands for an instance of the world, with `call_…` for each function that is exported. A method named like
///   an exported interface returns its `Guest`, which has methods of this kind too, and one for each resource, such as
///   `thing()`, which returns a `GuestThing`.
/// - `NamePre` is a component with its imports, from which instances are made without finding names again, and `NameIndices` is
///   where it has what the world exports.
///
/// # Errors
///
/// Errors in WIT are errors of the compiler, with the place in the file. So are functions that are `async`, futures and streams,
/// which belljar does not have yet. Whether a component is of the world is found out when it is used: `NamePre::new` returns an
/// error if an export is missing, and `instantiate` one if a function is of another type.
#[doc(inline)]
pub use crate::__component_bindgen as bindgen;
