//! Checks the architecture: which crate may depend on which, which files may import each other, where unsafe code,
//! system calls and assembly may be, and that all names in ARCHITECTURE.md exist.

mod imports;

use imports::Imports;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Each crate, and the crates of the workspace that it may depend on.
const MAY_USE: &[(&str, &[&str])] = &[
    ("fingerprint", &[]),
    ("parallel", &[]),
    ("core", &[]),
    ("abi", &["core"]),
    ("module", &["parallel", "core", "abi"]),
    ("compile", &["parallel", "core", "abi", "module"]),
    ("component", &["core"]),
    ("component-macro", &[]),
    ("bindgen", &[]),
    ("optimize", &["core", "abi", "module", "compile"]),
    ("cache", &["parallel", "core"]),
    ("inspect", &["core"]),
    ("vm", &["core", "abi", "module"]),
    ("watch", &["core", "abi", "module", "vm"]),
    ("profile", &["core"]),
    (
        "belljar",
        &[
            "core",
            "abi",
            "module",
            "compile",
            "component",
            "component-macro",
            "bindgen",
            "optimize",
            "vm",
            "watch",
            "cache",
            "profile",
            "inspect",
        ],
    ),
    ("wasi", &["belljar"]),
    ("wasi-http", &["belljar", "wasi"]),
    ("cli", &["belljar", "wasi", "wasi-http", "cache", "inspect", "module", "core", "abi", "profile"]),
];

/// Returns the workspace's crates in a manifest's `[dependencies]`.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest.split("\n[").find(|s| s.starts_with("dependencies]")).unwrap_or_default();
    section
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| name.starts_with("belljar"))
        .map(|name| name.strip_prefix("belljar-").unwrap_or(name).to_string())
        .collect()
}

#[test]
fn arrows_run_one_way() {
    let crates: BTreeSet<String> = fs::read_dir(root().join("crates"))
        .expect("the crates folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
        .collect();
    let known: BTreeSet<String> = MAY_USE.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(crates, known, "a crate is missing from the table, or from the folder");
    for (name, allowed) in MAY_USE {
        let manifest =
            fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).expect("a manifest");
        for dependency in dependencies(&manifest) {
            assert!(allowed.contains(&&*dependency), "{name} must not depend on {dependency}");
        }
    }
}

fn sources(folder: &Path, out: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            out.push((path, text));
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut out = Vec::new();
    for (name, _) in MAY_USE {
        sources(&root().join("crates").join(name).join("src"), &mut out);
    }
    out
}

#[test]
fn architecture_names_what_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    assert!(text.lines().count() <= 300, "ARCHITECTURE.md is longer than 300 lines");
    let code: String = all_sources().into_iter().map(|(_, text)| text).collect();
    for name in text.split('`').skip(1).step_by(2) {
        let last = name.rsplit("::").next().unwrap_or(name);
        let is_name = last.chars().all(|c| c.is_alphanumeric() || c == '_') && !last.is_empty();
        assert!(!is_name || code.contains(last), "ARCHITECTURE.md speaks of `{name}`, which is nowhere");
    }
}

/// What lifts and lowers values, and all that users of components see, does without them even in prose.
#[test]
fn components_need_no_unsafe_code_and_no_pointers() {
    let folders =
        ["component/src", "component-macro/src", "bindgen/src", "belljar/src/component", "wasi/src/p2"];
    let mut count = 0;
    for (path, text) in all_sources() {
        let path = path.to_string_lossy();
        if folders.iter().any(|folder| path.contains(&format!("crates/{folder}/"))) {
            count += 1;
            // The list of Rust's keywords, which the names of WIT must not become.
            let text = text.replace("\"unsafe\", ", "");
            for word in ["unsafe", "*mut ", "*const "] {
                assert!(!text.contains(word), "{path} has `{word}`");
            }
        }
    }
    assert!(count > 60, "only {count} files");
}

#[test]
fn unsafe_system_calls_and_assembly_have_their_places() {
    for (path, text) in all_sources() {
        let is_in = |folder: &str| path.components().any(|c| c.as_os_str() == folder);
        let in_vm = is_in("vm");
        let (in_sys, in_processor) = (in_vm && is_in("sys"), in_vm && is_in("machine") && is_in("x86_64"));
        let in_machine = in_vm && is_in("machine");
        let lines = || text.lines().filter(|l| !l.trim_start().starts_with("//"));
        let uses = |what: &str| lines().any(|l| l.contains(what));
        assert!(in_vm || !uses("unsafe {"), "{} has an unsafe block", path.display());
        assert!(in_vm || !uses("unsafe fn"), "{} has an unsafe fn", path.display());
        assert!(in_processor || !uses("asm!("), "{} holds assembly", path.display());
        assert!(in_processor || !uses("gregs"), "{} knows the processor's registers", path.display());
        assert!(in_sys || in_machine || !uses("libc::"), "{} makes system calls", path.display());
        // The only parts of libc that `machine` uses are types that the kernel passes to signal handlers.
        let types = ["libc::c_int", "libc::c_void", "libc::siginfo_t", "libc::ucontext_t", "libc::REG_"];
        let calls =
            |line: &str| types.iter().fold(line.to_string(), |l, ty| l.replace(ty, "")).contains("libc::");
        assert!(in_sys || !in_machine || !lines().any(calls), "{} makes system calls", path.display());
    }
}

/// The layers of `vm`, from the bottom up, and the files that each may import.
const LAYERS: &[(&str, &[&str])] = &[
    // System calls. `jit_dump.rs` is the format of a file.
    ("sys", &["sys", "vm_ptr.rs", "invariants.rs", "sync.rs", "jit_dump.rs"]),
    // Code that depends on the processor, and signal handlers: above the code table, below stores.
    (
        "machine",
        &[
            "machine",
            "sys",
            "vm_ptr.rs",
            "invariants.rs",
            "sync.rs",
            "code_table.rs",
            "on_demand.rs",
            "published.rs",
        ],
    ),
];

#[test]
fn the_lower_layers_of_the_vm_import_nothing_from_above() {
    let base = root().join("crates/vm/src");
    let imports = Imports::of(&base.join("lib.rs"));
    for (layer, allowed) in LAYERS {
        for (file, targets) in imports.edges() {
            if !file.starts_with(base.join(layer)) {
                continue;
            }
            for (target, names) in targets {
                let is_allowed = allowed.iter().any(|place| target.starts_with(base.join(place)));
                assert!(is_allowed, "{} imports {names:?} of {}", file.display(), target.display());
            }
        }
    }
}

/// The most files in a circle: a larger one can only be understood as a whole.
const LARGEST_CIRCLE: usize = 4;

/// The circles of files that import each other, and why each is needed.
const CIRCLES: &[(&str, &[&str])] = &[
    // A parameter's type determines the native function that reads it, which calls the host function.
    ("vm", &["abi_types.rs", "host.rs"]),
    // An allocator creates buffers, and a buffer refers to its allocator.
    ("belljar", &["guest_alloc.rs", "guest_buf.rs"]),
    // Types are recursive: a function has parameters, which can be references to functions, structs and arrays.
    ("belljar", &["types/func_type.rs", "types/heap_type.rs", "types/object_types.rs", "types/val_type.rs"]),
];

#[test]
fn circles_of_files_are_small_and_known() {
    for (name, _) in MAY_USE {
        let base = root().join("crates").join(name).join("src");
        let circles = Imports::of(&base.join("lib.rs")).circles();
        let mut found = BTreeSet::new();
        for circle in circles {
            let files: Vec<String> = circle
                .iter()
                .map(|file| file.strip_prefix(&base).expect("in the crate").to_str().expect("plain").into())
                .collect();
            assert!(
                files.len() <= LARGEST_CIRCLE,
                "files of {name} import each other in a circle: {files:?}"
            );
            found.insert(files);
        }
        let known: BTreeSet<Vec<String>> = CIRCLES
            .iter()
            .filter(|(of, _)| of == name)
            .map(|(_, files)| files.iter().map(|file| file.to_string()).collect())
            .collect();
        assert_eq!(
            found, known,
            "the circles of {name} changed: cut them, or name them here with the reason"
        );
    }
}

/// The only file that converts between pointers and numbers.
const POINTERS: &str = "vm/src/vm_ptr.rs";

#[test]
fn one_type_stands_at_the_border_with_generated_code() {
    let changes = |text: &str| text.contains("expose_provenance") || text.contains("with_exposed_provenance");
    let files: Vec<_> = all_sources().into_iter().filter(|(_, text)| changes(text)).collect();
    for (path, _) in &files {
        assert!(path.ends_with(POINTERS), "{} changes numbers to pointers: use VmPtr", path.display());
    }
    assert_eq!(files.len(), 1, "{POINTERS} no longer does");
}

/// Ways to print a path or a name without `OutsideText`.
const OTHER_PRINTERS: [&str; 5] =
    [".display()", "escape_default()", "escape_unicode()", "escape_debug()", "char::is_control"];

#[test]
fn one_type_decides_what_is_escaped() {
    for (path, text) in all_sources() {
        if path.ends_with("core/src/outside_text.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for printer in OTHER_PRINTERS {
            assert!(!code.contains(printer), "{} prints with {printer}: use OutsideText", path.display());
        }
    }
}

/// Longer files must be split.
const LONGEST_FILE: usize = 900;

#[test]
fn no_file_is_too_long() {
    for (path, text) in all_sources() {
        let lines = text.lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines", path.display());
        assert!(lines < 60 || text.starts_with("//!"), "{} does not say what it is for", path.display());
    }
}
