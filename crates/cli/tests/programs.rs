//! Real programs, if available: those in `../shared/programs`, beside the workspace, that need only WebAssembly 2.0 and
//! some proposals. Exit code and output must match.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/programs")
}

/// The features that programs may need, by option name.
const FEATURES: [&str; 4] = ["simd", "relaxed-simd", "memory64", "threads"];

/// Returns the strings of a JSON array, or none.
fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|v| Some(v.as_str()?.to_string())).collect()
}

/// Returns the entries of a JSON object of strings, or none.
fn pairs(value: &Value) -> Vec<(String, String)> {
    let items = value.as_object().into_iter().flatten();
    items.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_string()))).collect()
}

fn options(case: &Value, root: &Path, scratch: &Path) -> Vec<String> {
    let mut options = Vec::new();
    for feature in texts(&case["needs"]) {
        match feature.as_str() {
            "threads" => options.push("--threads".into()),
            _ => options.extend(["--enable".into(), feature]),
        }
    }
    for (guest, host) in pairs(&case["dirs"]) {
        let dir = if host.starts_with("scratch") { scratch.join(&host) } else { root.join(&host) };
        if host.starts_with("scratch") {
            std::fs::create_dir_all(&dir).unwrap();
            for file in texts(&case["copy"]) {
                let name = Path::new(&file).file_name().unwrap();
                std::fs::copy(root.join(&file), dir.join(name)).unwrap();
            }
        }
        options.extend(["--dir".into(), format!("{}::{guest}", dir.display())]);
    }
    for (name, value) in pairs(&case["env"]) {
        options.extend(["--env".into(), format!("{name}={value}")]);
    }
    for option in ["argv0", "invoke"] {
        if let Some(value) = case[option].as_str() {
            options.extend([format!("--{option}"), value.into()]);
        }
    }
    options
}

/// Runs a program. Returns what is wrong.
fn run(case: &Value, root: &Path) -> Result<(), String> {
    let scratch = tempfile::tempdir().unwrap();
    let stdin = scratch.path().join("stdin");
    std::fs::write(&stdin, case["stdin_text"].as_str().unwrap_or_default()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_belljar"))
        .env("BELLJAR_CACHE", "off")
        .arg("run")
        .args(options(case, root, scratch.path()))
        .arg(root.join(case["wasm"].as_str().unwrap()))
        .args(texts(&case["args"]))
        .current_dir(scratch.path())
        .stdin(Stdio::from(File::open(&stdin).unwrap()))
        .output()
        .unwrap();
    let expected = &case["expect"];
    let message = String::from_utf8_lossy(&output.stderr);
    if output.status.code().map(i64::from) != expected["exit"].as_i64() {
        return Err(format!("{}, expected exit code {}: {message}", output.status, expected["exit"]));
    }
    for (name, found) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if let Some(file) = expected[name].as_str()
            && std::fs::read(root.join(file)).unwrap() != *found
        {
            return Err(format!("{name} differs: {}", String::from_utf8_lossy(found)));
        }
    }
    for (file, digest) in pairs(&expected["files"]) {
        let found =
            std::fs::read(scratch.path().join("scratch").join(&file)).map_err(|e| format!("{file}: {e}"))?;
        if format!("{:x}", Sha256::digest(found)) != digest {
            return Err(format!("the file {file} differs"));
        }
    }
    Ok(())
}

#[test]
fn programs_give_what_they_should() {
    let root = programs();
    let Ok(cases) = std::fs::read_to_string(root.join("cases.json")) else {
        println!("skipped: there is no {}", root.display());
        return;
    };
    let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    let mut failures = String::new();
    for case in &cases {
        if texts(&case["needs"]).iter().any(|feature| !FEATURES.contains(&feature.as_str())) {
            continue;
        }
        if let Err(why) = run(case, &root) {
            failures.push_str(&format!("\n{}: {why}", case["id"]));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}
