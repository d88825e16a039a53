//! Guests: core modules in text, made components of a world of WIT.

use belljar::Engine;
use belljar::component::Component;
use std::fmt::Write;
use std::path::Path;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Resolve, WorldId, WorldItem};

/// A memory and an allocator that never frees.
const LIBC: &str = r#"
    (memory (export "memory") 4)
    (global $top (mut i32) (i32.const 4096))
    (func $realloc (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32)
        (result i32) (local $at i32)
        (local.set $at (i32.and
            (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $top (i32.add (local.get $at) (local.get $size)))
        (memory.copy (local.get $at) (local.get $old) (local.get $old_size))
        (local.get $at))"#;

fn wit(folder: &str, world: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bindgen/wit").join(folder);
    let (package, _) = resolve.push_path(path).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    (resolve, world)
}

/// Makes a component of a world from a core module, of which `text` is what follows the imports, the memory and the
/// allocator.
pub(crate) fn component(engine: &Engine, folder: &str, world: &str, imports: &str, text: &str) -> Component {
    let (resolve, world) = wit(folder, world);
    let core = wat::parse_str(format!("(module {imports} {LIBC} {text})")).unwrap();
    encode(engine, &resolve, world, core)
}

fn encode(engine: &Engine, resolve: &Resolve, world: WorldId, mut core: Vec<u8>) -> Component {
    embed_component_metadata(&mut core, resolve, world, StringEncoding::UTF8, false).unwrap();
    let mut encoder = ComponentEncoder::default();
    let binary = encoder.validate(true).module(&core).unwrap().encode().unwrap();
    Component::from_binary(engine, &binary).unwrap()
}

fn names(types: &[WasmType]) -> String {
    let name = |ty: &WasmType| match ty {
        WasmType::I64 | WasmType::PointerOrI64 => "i64 ",
        WasmType::F32 => "f32 ",
        WasmType::F64 => "f64 ",
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32 ",
    };
    types.iter().map(name).collect()
}

/// Makes a component of a world that imports the interfaces which it exports: each function calls the one that is
/// imported. All values pass through the guest's memory or registers.
pub(crate) fn forwarding(engine: &Engine, folder: &str, world: &str) -> Component {
    let (resolve, world) = wit(folder, world);
    let (mut imports, mut text) = (String::new(), String::new());
    for (key, item) in &resolve.worlds[world].exports {
        let WorldItem::Interface { id, .. } = item else { panic!("only interfaces are forwarded") };
        let interface = resolve.name_world_key(key);
        for (i, func) in resolve.interfaces[*id].functions.values().enumerate() {
            let name = &func.name;
            let import = resolve.wasm_signature(AbiVariant::GuestImport, func);
            let export = resolve.wasm_signature(AbiVariant::GuestExport, func);
            let arguments: String = (0..export.params.len()).map(|i| format!("(local.get {i}) ")).collect();
            let (place, result) = match import.retptr {
                true => ("(i32.const 64)", "(i32.const 64)"),
                false => ("", ""),
            };
            writeln!(
                imports,
                r#"(import "{interface}" "{name}" (func $f{i} (param {}) (result {})))"#,
                names(&import.params),
                names(&import.results)
            )
            .unwrap();
            writeln!(
                text,
                r#"(func (export "{interface}#{name}") (param {}) (result {}) (call $f{i} {arguments} {place}) {result})"#,
                names(&export.params),
                names(&export.results)
            )
            .unwrap();
        }
    }
    let core = wat::parse_str(format!("(module {imports} {LIBC} {text})")).unwrap();
    encode(engine, &resolve, world, core)
}
