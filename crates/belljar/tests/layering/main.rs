//! The house keeps its shape: who may stand on whom, and that ARCHITECTURE.md speaks of what exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Crate, and the crates of the workspace that it may depend on.
const MAY_USE: &[(&str, &[&str])] = &[
    ("fingerprint", &[]),
    ("parallel", &[]),
    ("core", &[]),
    ("abi", &["core"]),
    ("module", &["parallel", "core", "abi"]),
    ("compile", &["parallel", "core", "abi", "module"]),
    ("optimize", &["core", "abi", "module", "compile"]),
    ("cache", &["parallel", "core"]),
    ("inspect", &["core"]),
    ("vm", &["core", "abi", "module"]),
    ("watch", &["core", "abi", "module", "vm"]),
    ("profile", &["core"]),
    (
        "belljar",
        &["core", "abi", "module", "compile", "optimize", "vm", "watch", "cache", "profile", "inspect"],
    ),
    ("wasi", &["belljar"]),
    ("cli", &["belljar", "wasi", "cache", "inspect", "module", "core", "abi", "profile"]),
];

/// The workspace's crates named in a manifest's `[dependencies]`.
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

#[test]
fn unsafe_lives_in_the_vm_and_system_calls_in_sys() {
    for (path, text) in all_sources() {
        let in_vm = path.components().any(|c| c.as_os_str() == "vm");
        let in_sys = in_vm && path.components().any(|c| c.as_os_str() == "sys");
        let lines = || text.lines().filter(|l| !l.trim_start().starts_with("//"));
        let uses = |what: &str| lines().any(|l| l.contains(what));
        assert!(in_vm || !uses("unsafe {"), "{} has an unsafe block", path.display());
        assert!(in_vm || !uses("unsafe fn"), "{} has an unsafe fn", path.display());
        assert!(in_sys || !uses("global_asm!"), "{} holds assembly", path.display());
        assert!(in_sys || !uses("libc::"), "{} makes system calls", path.display());
    }
}

/// The only file that makes numbers of pointers, and pointers of numbers.
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

/// What prints a path or a name otherwise than as `OutsideText`.
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

/// Past this many lines a file wants rooms of its own.
const LONGEST_FILE: usize = 900;

#[test]
fn no_file_is_a_giant() {
    for (path, text) in all_sources() {
        let lines = text.lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines", path.display());
        assert!(lines < 60 || text.starts_with("//!"), "{} does not say what it is for", path.display());
    }
}
