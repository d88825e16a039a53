//! Imports that nobody provides, told with what they suggest.

use belljar::{OutsideText, UnknownImportError};
use std::fmt::Write;

/// All missing imports with their types, and a hint.
pub(super) fn describe(error: &UnknownImportError) -> String {
    let mut text = match error.missing().len() {
        1 => String::from("an import is missing:"),
        n => format!("{n} imports are missing:"),
    };
    for (module, name, ty) in error.missing() {
        let _ = write!(text, "\n    {}::{}: {ty}", OutsideText::new(module), OutsideText::new(name));
    }
    text.push('\n');
    text.push_str(&hint(error));
    text
}

/// What the names suggest that the module was built for.
fn hint(error: &UnknownImportError) -> String {
    let any = |f: &dyn Fn(&str, &str) -> bool| error.missing().any(|(module, name, _)| f(module, name));
    let known = [
        (
            any(&|m, _| m.starts_with("wasi:") || m.contains("@0.")),
            "this looks like a WASI 0.2 component's core module: build for wasm32-wasip1 instead",
        ),
        (
            any(&|_, n| n == "thread-spawn"),
            "this program starts threads (wasi-threads): run it with --threads",
        ),
        (
            any(&|m, _| m == "wbg" || m.starts_with("__wbindgen")),
            "this was made by wasm-bindgen and needs its JavaScript: build for wasm32-wasip1 instead",
        ),
        (
            any(&|m, n| m == "env" && n.starts_with("emscripten_") || m == "a" && n.len() <= 2),
            "this was made by Emscripten and needs its JavaScript: build with -sSTANDALONE_WASM",
        ),
        (any(&|m, _| m == "gojs" || m == "go"), "this was made by Go for JavaScript: build with GOOS=wasip1"),
        (
            any(&|m, _| m == "wasi_snapshot_preview1" || m == "wasi_unstable"),
            "this version of WASI has no such function: the module was built against another one",
        ),
    ];
    match known.iter().find(|(fits, _)| *fits) {
        Some((_, hint)) => format!("Hint: {hint}."),
        None => {
            let module = OutsideText::new(error.module());
            format!("Hint: --preload {module}=FILE provides them from another module's exports.")
        }
    }
}
