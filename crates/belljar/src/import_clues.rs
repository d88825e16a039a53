//! Guesses what environment a module was built for, from the names of its missing imports.

/// The names in a module that reveal which toolchain built it and for which host, to explain missing imports.
///
/// ```
/// use belljar::{ImportClue, ImportClues};
/// let missing = ImportClue { module: "gojs", name: "runtime.wasmExit", arity: Some((1, 0)) };
/// let clues = ImportClues { missing: vec![missing], custom_sections: Vec::new() };
/// assert!(clues.hint().unwrap().contains("GOOS=wasip1"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ImportClues<'a> {
    /// The missing imports.
    pub missing: Vec<ImportClue<'a>>,
    /// The names of the module's custom sections.
    pub custom_sections: Vec<&'a str>,
}

/// A missing import.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImportClue<'a> {
    /// The module name.
    pub module: &'a str,
    /// The field name.
    pub name: &'a str,
    /// The number of parameters and of results, if it is a function.
    pub arity: Option<(usize, usize)>,
}

/// A kind of module: how to recognize it, and the hint.
type Kind = (fn(&ImportClues<'_>) -> bool, &'static str);

const SIDE_MODULE: &str = "this is a side module, which a program loads while it runs (dynamic linking): it is not a program by itself";

/// All kinds. The first that matches gives the hint, so the kinds with the most specific marks come first.
const KINDS: &[Kind] = &[
    (
        |clues| {
            clues.has_section("linking")
                && clues.custom_sections.iter().any(|name| name.starts_with("reloc."))
        },
        "this is an object file, a part of a program: link it with wasm-ld",
    ),
    // Main modules of dynamic linking have a `GOT` as well, but define `__memory_base` themselves.
    (|clues| clues.any(|i| i.module == "env" && i.name == "__memory_base"), SIDE_MODULE),
    (
        |clues| clues.any(|i| i.module.is_empty() && i.name == "$imports"),
        "wit-component made this to join the modules of a component: it is not a program by itself",
    ),
    (
        |clues| clues.any(|i| i.module == "webcil"),
        "this is a .NET assembly in a wrapper (Webcil), which the .NET runtime loads: it is not a program by itself",
    ),
    (
        |clues| clues.any(|i| i.module == "dart2wasm" || i.module.starts_with("dart2wasm.")),
        "this was made by Dart (dart2wasm) and needs its JavaScript: Dart has no other target for WebAssembly",
    ),
    (
        |clues| clues.any(|i| i.module == "js_code" && i.name.starts_with("kotlin.")),
        "this was made by Kotlin for JavaScript (wasmJs): build for wasmWasi instead",
    ),
    (is_of_tinygo, "this was made by TinyGo for JavaScript: build with -target=wasip1"),
    (
        |clues| clues.any(|i| i.module == "gojs" || i.module == "go" && i.name.starts_with("runtime.")),
        "this was made by Go for JavaScript: build with GOOS=wasip1",
    ),
    (
        is_of_wasm_bindgen,
        "this was made by wasm-bindgen and needs its JavaScript: build for wasm32-wasip1 instead",
    ),
    (
        |clues| clues.any(|i| i.name.starts_with("napi_") || i.module == "emnapi"),
        "this is an addon for Node.js (Node-API, as napi-rs and emnapi build them): it is not a program by itself",
    ),
    (is_of_emscripten, "this was made by Emscripten and needs its JavaScript: build with -sSTANDALONE_WASM"),
    (|clues| clues.any(|i| i.module == "GOT.mem" || i.module == "GOT.func"), SIDE_MODULE),
    (
        |clues| clues.any(|i| i.module == "env" && i.name == "abort" && i.arity == Some((4, 0))),
        "this was made by AssemblyScript, and its host has to say what `abort` does: build with `--use abort=`, or with \
         @assemblyscript/wasi-shim",
    ),
    (
        |clues| clues.any(|i| i.module.starts_with("wasix_")),
        "this was made for WASIX: build for wasm32-wasip1 instead",
    ),
    (
        |clues| clues.any(|i| i.module.starts_with("extism:host/")),
        "this is a plug-in for Extism, and needs a host that has it",
    ),
    (
        |clues| clues.any(|i| is_component_interface(i.module)),
        "this is the core module of a component (WASI 0.2): make the component with `wasm-tools component new`, and run that",
    ),
];

impl ImportClues<'_> {
    /// Returns what the module was built for, and what to build instead, as a sentence without its period. Returns
    /// `None` if the names reveal nothing.
    pub fn hint(&self) -> Option<&'static str> {
        KINDS.iter().find(|(fits, _)| fits(self)).map(|(_, hint)| *hint)
    }

    fn any(&self, fits: impl FnMut(&ImportClue<'_>) -> bool) -> bool {
        self.missing.iter().any(fits)
    }

    fn has_section(&self, name: &str) -> bool {
        self.custom_sections.contains(&name)
    }
}

/// TinyGo uses names of its own beside those of Go; its older releases import them from `env`.
fn is_of_tinygo(clues: &ImportClues<'_>) -> bool {
    let own = ["runtime.ticks", "runtime.sleepTicks", "syscall/js.finalizeRef"];
    let of_go = clues.any(|i| i.name == "runtime.wasmExit");
    !of_go && clues.any(|i| matches!(i.module, "gojs" | "env") && own.contains(&i.name))
}

/// The names of the glue functions identify wasm-bindgen. The module that they are imported from varies: `wbg`,
/// `./NAME_bg.js`, or a placeholder if wasm-bindgen has not been run yet.
fn is_of_wasm_bindgen(clues: &ImportClues<'_>) -> bool {
    clues.any(|i| {
        i.module == "wbg"
            || i.module.starts_with("__wbindgen_")
            || i.name.starts_with("__wbg_")
            || i.name.starts_with("__wbindgen_")
    })
}

/// Recognizes Emscripten's runtime, also with minified names.
fn is_of_emscripten(clues: &ImportClues<'_>) -> bool {
    const STARTS: &[&str] = &["emscripten_", "__syscall_", "_embind_", "_emval_", "__asyncjs__"];
    let is_of_runtime = |name: &str| {
        let plain = name.trim_start_matches('_');
        STARTS.iter().any(|start| name.starts_with(start))
            || plain.starts_with("emscripten_")
            || name.strip_prefix("invoke_").is_some_and(|types| types.chars().all(|c| "vijfd".contains(c)))
            || name == "__cxa_throw"
    };
    let is_short = |i: &ImportClue<'_>| i.module == "a" && i.name.len() <= 2;
    clues.any(|i| i.module == "env" && is_of_runtime(i.name) || is_short(i))
}

/// Recognizes `namespace:package/interface@version`, and functions of a world.
fn is_component_interface(module: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let Some((namespace, rest)) = module.split_once(':') else { return false };
    let Some((package, interface)) = rest.split_once('/') else { return false };
    is_name(namespace) && is_name(package) && is_name(interface.split('@').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Arity = Option<(usize, usize)>;

    #[track_caller]
    fn check(missing: &[(&str, &str, Arity)], sections: &[&str], expected: Option<&str>) {
        let missing = missing.iter().map(|(module, name, arity)| ImportClue { module, name, arity: *arity });
        let clues = ImportClues { missing: missing.collect(), custom_sections: sections.to_vec() };
        match (clues.hint(), expected) {
            (Some(hint), Some(expected)) => assert!(hint.contains(expected), "{hint}"),
            (found, expected) => assert_eq!(found, expected),
        }
    }

    /// Examples from each tool.
    #[test]
    fn every_toolchain_is_known_by_its_names() {
        let cases: &[(&str, &str, &str)] = &[
            ("./hello_bg.js", "__wbg_log_1d990106d99dacb7", "wasm-bindgen"),
            ("__wbindgen_placeholder__", "__wbindgen_throw", "wasm-bindgen"),
            ("wbg", "__wbindgen_init_externref_table", "wasm-bindgen"),
            ("env", "emscripten_get_now", "Emscripten"),
            ("env", "_emscripten_thread_set_strongref", "Emscripten"),
            ("env", "invoke_vii", "Emscripten"),
            ("env", "__syscall_openat", "Emscripten"),
            ("env", "_embind_register_void", "Emscripten"),
            ("a", "b", "Emscripten"),
            ("env", "__memory_base", "side module"),
            ("GOT.mem", "stdout", "side module"),
            ("GOT.func", "tree_sitter_css_external_scanner_create", "side module"),
            ("env", "napi_create_function", "Node-API"),
            ("webcil", "memory", ".NET"),
            ("gojs", "runtime.wasmExit", "GOOS=wasip1"),
            ("go", "runtime.wasmExit", "GOOS=wasip1"),
            ("gojs", "runtime.ticks", "TinyGo"),
            ("env", "syscall/js.finalizeRef", "TinyGo"),
            ("js_code", "kotlin.captureStackTrace", "Kotlin"),
            ("dart2wasm", "_1556", "Dart"),
            ("", "$imports", "wit-component"),
            ("wasix_32v1", "proc_fork", "WASIX"),
            ("extism:host/env", "alloc", "Extism"),
            ("wasi:cli/stdout@0.2.0", "get-stdout", "component"),
            ("numcodecs:abc/codec", "encode", "component"),
        ];
        for (module, name, expected) in cases {
            check(&[(module, name, None)], &[], Some(expected));
        }
        check(&[("env", "abort", Some((4, 0)))], &[], Some("AssemblyScript"));
        check(&[("env", "__linear_memory", None)], &["linking", "reloc.CODE"], Some("object file"));
    }

    #[test]
    fn what_several_have_is_none_of_them() {
        check(&[("env", "abort", Some((0, 0))), ("env", "memory", None)], &["name"], None);
        check(&[("wasm:js-string", "length", None), ("", "0", None)], &[], None);
        check(&[("app", "a", None), ("env", "invoke_service", None)], &["linking"], None);
        check(&[("go", "home", None), ("js_code", "f", None)], &[], None);
    }

    #[test]
    fn the_more_telling_names_go_first() {
        check(
            &[("env", "abort", Some((0, 0))), ("env", "emscripten_asm_const_int", None)],
            &[],
            Some("Emscripten"),
        );
        check(
            &[("gojs", "runtime.wasmExit", None), ("gojs", "runtime.ticks", None)],
            &[],
            Some("GOOS=wasip1"),
        );
        check(
            &[("env", "emscripten_resize_heap", None), ("env", "__memory_base", None)],
            &["dylink.0"],
            Some("side module"),
        );
        check(
            &[("env", "emscripten_resize_heap", None), ("GOT.func", "x", None)],
            &["dylink.0"],
            Some("Emscripten"),
        );
        check(&[("env", "emscripten_resize_heap", None)], &["dylink.0"], Some("Emscripten"));
    }
}
