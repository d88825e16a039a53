//! Interfaces of small sources, comparisons of two, and the check of the repository's own.

use super::coverage::{Count, Coverage, State};
use super::reasons::Reasons;
use super::rivals::{RIVALS, Rival};
use super::scope::Group;
use super::sources::{CrateId, Sources};
use super::surface::{Entity, Fields, Kind, Member, Output, Receiver, Shape, Surface};
use super::{Interfaces, Paths, migration, stale, unexplained};
use std::collections::HashMap;
use std::path::PathBuf;

/// Adds a crate that consists of one file.
fn add(sources: &mut Sources, name: &str, text: &str, dependencies: &[&str]) -> CrateId {
    let dependencies: HashMap<String, String> =
        dependencies.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
    sources.read_text(name, text, PathBuf::from("nowhere"), dependencies).unwrap()
}

fn surface(text: &str) -> Surface {
    let mut sources = Sources::default();
    let krate = add(&mut sources, "tried", text, &[]);
    let surface = Surface::new(&sources, krate);
    let unexpanded = sources.into_unexpanded();
    assert!(unexpanded.is_empty(), "{}!: {}", unexpanded[0].name, unexpanded[0].why);
    surface
}

/// Returns the paths of all items and their members.
fn paths(surface: &Surface) -> Vec<String> {
    let mut paths = Vec::new();
    for entity in &surface.entities {
        paths.extend(entity.paths.iter().map(|(path, _)| path.clone()));
        paths.extend(entity.members.iter().map(|member| member.path(entity.path())));
    }
    paths.sort();
    paths
}

fn entity<'a>(surface: &'a Surface, path: &str) -> &'a Entity {
    surface.named(path).next().unwrap_or_else(|| panic!("there is no {path}"))
}

fn member<'a>(surface: &'a Surface, owner: &str, name: &str) -> &'a Member {
    entity(surface, owner).members.iter().find(|member| member.name == name).unwrap()
}

#[test]
fn items_are_public_under_the_paths_that_lead_to_them() {
    let surface = surface(
        "mod inner {
            pub struct Kept;
            pub struct Unreachable;
            pub(crate) struct Internal;
            impl Kept {
                pub fn shown(&self) {}
                pub(crate) fn internal(&self) {}
                #[doc(hidden)]
                pub fn hidden(&self) {}
                fn private(&self) {}
            }
        }
        pub use inner::Kept as Renamed;
        pub mod open {
            pub use super::inner::Kept;
            pub const LIMIT: u32 = 1;
            pub fn run() {}
        }
        #[doc(hidden)]
        pub mod secret { pub struct Secret; }
        pub mod _internal { pub struct Under; }",
    );
    let expected = ["Renamed", "Renamed::shown", "open", "open::Kept", "open::LIMIT", "open::run"];
    assert_eq!(paths(&surface), expected);
}

#[test]
fn globs_export_what_is_public_and_not_hidden_by_a_name() {
    let surface = surface(
        "mod one { pub struct Both; pub struct One; struct Private; pub use super::two::*; }
        mod two { pub struct Two; pub use super::one::*; impl Both { pub fn of_one() {} } }
        pub struct Both;
        impl Both { pub fn of_root() {} }
        pub use one::*;",
    );
    assert_eq!(paths(&surface), ["Both", "Both::of_root", "One", "Two"]);
}

#[test]
fn items_of_other_crates_are_those_of_the_crate_that_exports_them() {
    let mut sources = Sources::default();
    add(
        &mut sources,
        "base",
        "pub mod error { pub struct Error; impl Error { pub fn new() {} } } pub struct Left;",
        &[],
    );
    let text =
        "pub use base::error; pub use base::error::Error; pub use base as whole; pub use unread::Thing;";
    let krate = add(&mut sources, "tried", text, &["base", "unread"]);
    let surface = Surface::new(&sources, krate);
    // The whole crate is one item.
    assert_eq!(paths(&surface), ["Error", "Error::new", "Thing", "error", "error::Error", "whole"]);
    assert_eq!(entity(&surface, "Thing").description.kind, Kind::External);
    assert_eq!(entity(&surface, "whole").description.kind, Kind::External);
}

#[test]
fn members_come_from_impl_blocks_of_any_module() {
    let surface = surface(
        "pub struct Rooted<T>(T);
        pub struct EqRef;
        mod far { mod away {
            use crate::*;
            impl<T> Rooted<T> { pub fn root(&self) {} }
            impl Rooted<crate::EqRef> { pub fn to_anyref(self) {} }
            impl super::super::EqRef { pub const NULL: u32 = 0; }
        } }",
    );
    assert_eq!(
        paths(&surface),
        ["EqRef", "EqRef::NULL", "Rooted", "Rooted::root", "Rooted<EqRef>::to_anyref"]
    );
}

#[test]
fn members_are_fields_variants_and_items_of_traits() {
    let surface = surface(
        "pub struct Fields { pub shown: u32, private: u32 }
        pub enum Kinds { Unit, Tuple(u32, u32), Named { b: u32, a: u32 } }
        pub unsafe trait Trait: Send { type Data; const SIZE: usize; fn call(&mut self, a: u32) -> Result<(), u32>; }
        pub union Raw { pub bits: u64 }",
    );
    let expected = [
        "Fields",
        "Fields::shown",
        "Kinds",
        "Kinds::Named",
        "Kinds::Tuple",
        "Kinds::Unit",
        "Raw",
        "Raw::bits",
        "Trait",
        "Trait::Data",
        "Trait::SIZE",
        "Trait::call",
    ];
    assert_eq!(paths(&surface), expected);
    let named = Kind::Variant(Fields::Named(vec!["a".into(), "b".into()]));
    assert_eq!(member(&surface, "Kinds", "Named").description.kind, named);
    assert_eq!(member(&surface, "Kinds", "Tuple").description.signature, "Tuple(u32, u32)");
    assert!(entity(&surface, "Trait").description.raw && entity(&surface, "Raw").description.raw);
    let call = Shape { receiver: Receiver::MutableReference, parameters: 1, output: Output::Result };
    assert_eq!(member(&surface, "Trait", "call").description.kind, Kind::Function(call));
}

#[test]
fn functions_with_raw_pointers_are_raw() {
    let surface = surface(
        "pub struct Memory;
        impl Memory {
            pub fn data_ptr(&self) -> *mut u8 { todo!() }
            pub unsafe fn unchecked(&self) {}
            pub fn data<'a, T: 'static>(&self, store: impl Into<StoreContext<'a, T>>) -> &'a [u8] { &[] }
        }",
    );
    assert!(member(&surface, "Memory", "data_ptr").description.raw);
    assert!(member(&surface, "Memory", "unchecked").description.raw);
    let data = &member(&surface, "Memory", "data").description;
    assert!(!data.raw);
    assert_eq!(
        data.signature,
        "fn data<'a, T: 'static>(&self, store: impl Into<StoreContext<'a, T>>) -> &'a [u8]"
    );
}

#[test]
fn macros_are_expanded_where_they_define_items_and_members() {
    let surface = surface(
        "#[macro_use]
        mod macros {
            macro_rules! setters {
                ($($(#[$doc:meta])* $name:ident($amount:ident: $ty:ty) = $default:literal;)*) => {
                    impl Config { $($(#[$doc])* pub fn $name(&mut self, $amount: $ty) -> &mut Self { self })* }
                };
            }
            macro_rules! getter {
                ($name:ident: $ty:ty) => { pub fn $name(&self) -> $ty { todo!() } };
                ($name:ident) => { getter!($name: bool); };
            }
            macro_rules! each_name { ($each:ident) => { $each! { One Two } } }
            macro_rules! structs { ($($name:ident)*) => { $(pub struct $name;)* } }
        }
        pub struct Config;
        setters! {
            /// Fuel.
            fuel(units: u64) = true;
            stack(bytes: Option<Vec<u8>>) = 1;
        }
        impl Config { getter!(debug); getter!(size: u64); }
        each_name!(structs);
        crate::late::defined_later!(Late, 1 + 2, 'a);
        mod late {
            macro_rules! defined_later {
                ($name:ident, $value:expr, $life:lifetime $(,)?) => {
                    pub struct $name<$life>(&$life u32);
                    impl<$life> $name<$life> { pub const VALUE: u32 = $value as u32; }
                };
            }
            pub(crate) use defined_later;
        }",
    );
    let expected = [
        "Config",
        "Config::debug",
        "Config::fuel",
        "Config::size",
        "Config::stack",
        "Late",
        "Late::VALUE",
        "One",
        "Two",
    ];
    assert_eq!(paths(&surface), expected);
    let stack = &member(&surface, "Config", "stack").description.signature;
    assert_eq!(stack, "fn stack(&mut self, bytes: Option<Vec<u8>>) -> &mut Self");
}

#[test]
fn a_macro_that_is_not_known_is_reported() {
    let mut sources = Sources::default();
    add(&mut sources, "tried", "mod inner { mystery! { pub struct Hidden; } } thread_local! {}", &[]);
    let mut reported: Vec<String> =
        sources.into_unexpanded().iter().map(|each| format!("{} {}", each.module, each.name)).collect();
    reported.sort();
    assert_eq!(reported, ["tried thread_local", "tried::inner mystery"]);
}

#[test]
fn macros_of_other_crates_are_known() {
    let surface = surface(
        "bitflags::bitflags! {
            #[derive(Clone, Copy)]
            pub struct Perms: usize { const READ = 0b1; #[doc(hidden)] const SECRET = 0b10; const _ = !0; }
        }
        cfg_select! {
            miri => { pub mod miri {} }
            all(unix, not(windows)) => { pub mod unix {} }
            _ => { pub mod other {} }
        }",
    );
    let paths = paths(&surface);
    for path in ["Perms", "Perms::READ", "Perms::contains", "unix"] {
        assert!(paths.iter().any(|known| known == path), "{path} is missing: {paths:?}");
    }
    assert!(!paths.iter().any(|path| path == "Perms::SECRET" || path == "miri" || path == "other"));
}

#[test]
fn conditions_come_from_items_blocks_and_modules() {
    let surface = surface(
        "pub struct Store;
        #[cfg(feature = \"async\")]
        mod fiber {
            impl super::Store { pub fn fibers(&self) {} }
            pub struct Stack;
        }
        #[cfg(feature = \"async\")]
        pub use fiber::*;
        #[cfg(feature = \"gc\")]
        impl Store { pub fn gc(&self) {} #[cfg(all(feature = \"gc\", feature = \"debug\"))] pub fn walk(&self) {} }
        impl Store { #[cfg(windows)] pub fn windows(&self) {} #[cfg(not(feature = \"gc\"))] pub fn null(&self) {} }
        #[cfg(test)]
        pub mod tests {}",
    );
    assert_eq!(paths(&surface), ["Stack", "Store", "Store::fibers", "Store::gc", "Store::walk"]);
    let group =
        |path: &str, cfgs: &[_]| Group::of(&format!("wasmtime::{path}"), cfgs).map(|group| group.name);
    let of = |name| group("Store::x", &member(&surface, "Store", name).cfgs);
    assert_eq!([of("fibers"), of("gc"), of("walk")], [Some("async"), None, Some("debugger")]);
    assert_eq!(group("Stack", entity(&surface, "Stack").cfgs()), Some("async"));
}

#[test]
fn groups_claim_paths_with_their_members() {
    let group = |path| Group::of(path, &[]).map(|group| group.name);
    assert_eq!(group("wasmtime::Func::call"), None);
    assert_eq!(group("wasmtime::Func::call_async"), Some("async"));
    assert_eq!(group("wasmtime::PoolingAllocationConfig::total_memories"), Some("pools"));
    assert_eq!(group("wasmtime::component::Linker::new"), Some("components"));
    assert_eq!(group("wasmtime::OperatorCost::I32Add"), Some("costs of single instructions"));
    assert_eq!(group("wasmtime::OperatorCost"), None);
    // An exception.
    assert_eq!(group("wasmtime_wasi::p2::Pollable::ready"), Some("components"));
    assert_eq!(group("wasmtime_wasi::p2::pipe::MemoryOutputPipe::contents"), None);
}

#[test]
fn implementations_are_those_between_public_types() {
    let surface = surface(
        "#[derive(Clone, Debug, serde::Serialize)]
        pub struct Val;
        pub struct Func;
        struct Private;
        pub trait WasmTy {}
        impl From<i32> for Val { fn from(v: i32) -> Self { Val } }
        impl From<crate::Func> for Val { fn from(v: Func) -> Self { Val } }
        impl From<Private> for Val { fn from(v: Private) -> Self { Val } }
        impl<'a> std::fmt::Display for Val { }
        impl Drop for Val { fn drop(&mut self) {} }
        impl WasmTy for u32 {}
        impl WasmTy for Val {}
        impl<T: Copy> WasmTy for T {}",
    );
    let names = |path| -> Vec<&str> {
        entity(&surface, path).impls.iter().map(|implementation| implementation.name.as_str()).collect()
    };
    assert_eq!(names("Val"), ["Clone", "Debug", "Display", "From<Func>", "From<i32>", "WasmTy"]);
    assert_eq!(names("WasmTy"), ["for u32"]);
}

#[test]
fn files_are_found_as_rustc_finds_them() {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("flat.rs", "pub mod below; pub struct Flat;");
    write("flat/below.rs", "pub struct Below;");
    write("folder/mod.rs", "pub mod beside;");
    write("folder/beside.rs", "pub struct Beside;");
    write("elsewhere/moved.rs", "pub mod near;");
    write("elsewhere/near.rs", "pub struct Near;");
    write("inline/deep.rs", "pub struct Deep;");
    let text = "pub mod flat; pub mod folder; #[path = \"elsewhere/moved.rs\"] pub mod other; pub mod inline { pub mod deep; }";
    let mut sources = Sources::default();
    let krate = sources.read_text("tried", text, directory.path().to_owned(), HashMap::new()).unwrap();
    let surface = Surface::new(&sources, krate);
    let paths = paths(&surface);
    for path in [
        "flat::Flat",
        "flat::below::Below",
        "folder::beside::Beside",
        "other::near::Near",
        "inline::deep::Deep",
    ] {
        assert!(paths.iter().any(|known| known == path), "{path} is missing: {paths:?}");
    }
}

fn wasmtime() -> &'static Rival {
    &RIVALS[0]
}

/// Compares two sources and returns each path with what was found.
fn compare(theirs: &str, ours: &str, reasons: &str) -> (Vec<(String, String)>, Vec<usize>) {
    let (theirs, ours, reasons) = (surface(theirs), surface(ours), Reasons::new(reasons).unwrap());
    let coverage = Coverage::new(wasmtime(), "1.0.0".into(), &theirs, &ours, &reasons);
    let state = |state: &State<'_>| match state {
        State::Excluded(group) => group.name.to_owned(),
        State::Same => "same".to_owned(),
        State::OtherShape(what, None) => what.clone(),
        State::OtherShape(what, Some(reason)) => format!("{what} ({})", reason.why),
        State::Missing(None) => "missing".to_owned(),
        State::Missing(Some(reason)) => format!("missing: {}", reason.why),
    };
    let rows = coverage.rows.iter().map(|row| (row.path.clone(), state(&row.state))).collect();
    (rows, reasons.stale().map(|reason| reason.line).collect())
}

#[test]
fn names_are_compared_with_their_shapes() {
    let (rows, _) = compare(
        "pub struct Store;
        impl Store {
            pub fn new(a: u32, b: u32) {}
            pub fn gc(&mut self, why: u32) {}
            pub fn get(&self) -> Option<u32> { None }
            pub fn call(&mut self) {}
            pub fn gone(&self) {}
            pub fn wait_async(&self) {}
        }
        pub enum Trap { Kept, Fields(u32) }
        pub trait Limiter { fn grow(&mut self); }",
        "pub struct Store { pub call: u32 }
        impl Store {
            pub fn new(a: u32, b: u32) {}
            pub fn gc(&mut self) {}
            pub fn get(&mut self) -> Result<u32, ()> { Err(()) }
            pub fn call(&self) {}
        }
        pub enum Trap { Kept, Fields }
        pub trait Limiter { fn grow(&self); }",
        "",
    );
    let rows: Vec<(&str, &str)> = rows.iter().map(|(path, state)| (path.as_str(), state.as_str())).collect();
    let expected = [
        ("Limiter", "same"),
        ("Limiter::grow", "`&mut self`, here `&self`"),
        ("Store", "same"),
        ("Store::new", "same"),
        ("Store::gc", "1 parameter, here 0"),
        ("Store::get", "`&self`, here `&mut self`; returns `Option`, here `Result`"),
        ("Store::call", "same"),
        ("Store::gone", "missing"),
        ("Store::wait_async", "async"),
        ("Trap", "same"),
        ("Trap::Kept", "same"),
        ("Trap::Fields", "one field, here no fields"),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn methods_are_found_where_calls_find_them() {
    let (rows, _) = compare(
        "pub struct Caller; impl Caller { pub fn data(&self) {} pub fn new() {} }
        pub struct StructRef; impl StructRef { pub fn field(&self) {} pub fn new() {} }
        mod private { pub struct Inner; impl Inner { pub fn run(&self) {} } }
        pub use private::Inner as Module;
        pub mod alias { pub use crate::private::Inner; }",
        "pub struct Context; impl Context { pub fn data(&self) {} pub fn new() {} }
        pub struct Caller; impl std::ops::Deref for Caller { type Target = Context; }
        pub struct Rooted<T>(T);
        pub struct StructRef;
        impl Rooted<StructRef> { pub fn field(&self) {} pub fn new() {} }
        pub struct Module; impl Module { pub fn run(&self) {} }",
        "",
    );
    let missing: Vec<&str> =
        rows.iter().filter(|(_, state)| state == "missing").map(|(path, _)| path.as_str()).collect();
    // Functions without `self` are called by the name of their type.
    assert_eq!(missing, ["Caller::new", "StructRef::new", "alias", "alias::Inner"]);
}

#[test]
fn reasons_explain_items_their_members_and_patterns() {
    let theirs = "pub struct Gone; impl Gone { pub fn a() {} pub fn b() {} }
        pub struct Cache; impl Cache { pub fn level() {} pub fn level_max() {} pub fn size() {} }
        pub struct Kept; impl Kept { pub fn shape(&self, a: u32) {} }";
    let ours = "pub struct Cache; pub struct Kept; impl Kept { pub fn shape(&self) {} }";
    let (rows, stale) = compare(
        theirs,
        ours,
        "# Rows.
        wasmtime | Gone | unsafe | `Other` | it is raw
        wasmtime | Gone::b | later | - | not yet

        wasmtime | Cache::level* | not applicable | - | no levels
        wasmtime | Kept::shape | other shape | `shape()` | no parameter
        wasmtime | Kept | later | - | stale, since it is there
        wasmtime | Nowhere | later | - | stale, since nobody has it
        wasmi | Cache::size | later | - | stale, of another crate",
    );
    let rows: Vec<(&str, &str)> = rows.iter().map(|(path, state)| (path.as_str(), state.as_str())).collect();
    let expected = [
        ("Cache", "same"),
        ("Cache::level", "missing: no levels"),
        ("Cache::level_max", "missing: no levels"),
        ("Cache::size", "missing"),
        ("Gone", "missing: it is raw"),
        ("Gone::a", "missing: it is raw"),
        ("Gone::b", "missing: not yet"),
        ("Kept", "same"),
        ("Kept::shape", "1 parameter, here 0 (no parameter)"),
    ];
    assert_eq!(rows, expected);
    assert_eq!(stale, [7, 8, 9]);
}

#[test]
fn malformed_reasons_are_errors() {
    let error = |text| format!("{:#}", Reasons::new(text).err().unwrap());
    assert!(error("wasmtime | Func | unsafe").contains("five cells"));
    assert!(error("wasmtime | Func | dangerous | - | why").contains("`dangerous` is no category"));
    assert!(error("wasmer | Func | unsafe | - | why").contains("`wasmer` is not compared"));
    assert!(error("wasmtime | Fu*::new | unsafe | - | why").contains("names of members only"));
    assert!(error("\n\nwasmtime | * | unsafe | - | why").starts_with("line 3: "));
}

#[test]
fn counts_leave_out_groups_and_unsafe_items() {
    let theirs = surface(
        "pub struct Func;
        impl Func { pub fn call(&self) {} pub fn call_async(&self) {} pub unsafe fn to_raw(&self) {} pub fn ty(&self) {} }",
    );
    let ours = surface("pub struct Func; impl Func { pub fn call(&self) {} }");
    let reasons = Reasons::new("").unwrap();
    let coverage = Coverage::new(wasmtime(), "1.0.0".into(), &theirs, &ours, &reasons);
    assert_eq!(Coverage::count(&coverage.rows), Count { have: 2, total: 4 });
    assert_eq!(coverage.safe_count(), Count { have: 2, total: 3 });
    assert_eq!(coverage.applicable_count(), Count { have: 2, total: 3 });
    let reasons = Reasons::new("wasmtime | Func::ty | not applicable | - | There are no types.").unwrap();
    let coverage = Coverage::new(wasmtime(), "1.0.0".into(), &theirs, &ours, &reasons);
    assert_eq!(coverage.safe_count(), Count { have: 2, total: 3 });
    assert_eq!(coverage.applicable_count(), Count { have: 2, total: 2 });
}

#[test]
fn the_document_merges_rows_with_one_reason() {
    let theirs = surface(
        "pub struct Gone; impl Gone { pub fn a() {} }
        pub struct Cache; impl Cache { pub fn level_a() {} pub fn level_b() {} pub fn size() {} }",
    );
    let ours = surface("pub struct Cache;");
    let reasons = "wasmtime | Gone | unsafe | `a|b` | raw\nwasmtime | Cache::level_* | later | - | not yet";
    let reasons = Reasons::new(reasons).unwrap();
    let coverage = Coverage::new(wasmtime(), "1.0.0".into(), &theirs, &ours, &reasons);
    let document = migration::document("# Opening\n", &[coverage]);
    assert!(document.starts_with("# Opening\n\n## "), "{document}");
    assert!(document.contains("\n| `Gone` and its 1 member | `a\\|b` | unsafe: raw |\n"), "{document}");
    assert!(
        document.contains("\n| `Cache::level_a`, `Cache::level_b` |  | later: not yet |\n"),
        "{document}"
    );
    assert!(document.contains("\n| `Cache::size` |  |  |\n"), "{document}");
    assert!(document.contains("\n| `Cache` | 1 | 4 |  |\n"), "{document}");
}

/// Does what `--check` does, except for items without a reason.
#[test]
fn reasons_and_the_document_are_up_to_date() {
    check(|_| Vec::new());
}

#[test]
fn every_missing_item_has_a_reason() {
    check(unexplained);
}

fn check(more: impl Fn(&[Coverage<'_>]) -> Vec<String>) {
    let paths = Paths::new().unwrap();
    let rivals = match paths.rivals() {
        Ok(rivals) => rivals,
        Err(error) => {
            let error = error.to_string();
            assert!(!error.contains("--locked"), "rivals/Cargo.lock is not up to date: {error}");
            println!("skipped: the sources of the other engines are not here and cannot be fetched: {error}");
            return;
        }
    };
    let interfaces = Interfaces::read(&paths, &rivals).unwrap();
    let reasons = paths.reasons().unwrap();
    let coverages = interfaces.compare(&reasons).unwrap();
    let mut problems = stale(&reasons);
    problems.extend(more(&coverages));
    problems.extend(paths.outdated(&migration::document(&paths.intro().unwrap(), &coverages)));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
