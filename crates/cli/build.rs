//! Finds out what `belljar --version` says about the build: the commit, the target and the profile.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let commit = packaged_commit(Path::new(&directory)).or_else(|| commit(&directory));
    println!("cargo::rustc-env=BELLJAR_COMMIT={}", commit.unwrap_or_default());
    println!("cargo::rustc-env=BELLJAR_TARGET={}", env::var("TARGET").unwrap_or_default());
    println!("cargo::rustc-env=BELLJAR_PROFILE={}", profile().unwrap_or_default());
}

/// Returns the commit that a package of a registry was made from, which Cargo notes in it.
fn packaged_commit(directory: &Path) -> Option<String> {
    let file = directory.join(".cargo_vcs_info.json");
    let notes = fs::read_to_string(file).ok()?;
    let (_, rest) = notes.split_once("\"sha1\"")?;
    rest.split('"').nth(1).filter(|text| is_commit(text)).map(Into::into)
}

/// Returns the commit that is checked out, if the package is part of a repository. A package that only lies somewhere
/// below a repository, such as one of vendored sources that are ignored, is not.
fn commit(directory: &str) -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(directory).args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_string())
    };
    git(&["ls-files", "--error-unmatch", "Cargo.toml"])?;
    let commit = git(&["rev-parse", "HEAD"]).filter(|text| is_commit(text))?;
    // The first changes when another branch is checked out, the second with each commit.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD".to_string()].into_iter().chain(branch) {
        let path = git(&["rev-parse", "--path-format=absolute", "--git-path", &name]);
        // A branch whose reference is packed has no file. It gets one with its next commit; until then, its directory
        // stays as it is.
        let watched = path.as_deref().map(Path::new).and_then(|path| path.ancestors().find(|p| p.exists()));
        if let Some(path) = watched {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    Some(commit)
}

fn is_commit(text: &str) -> bool {
    text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the name of Cargo's profile: that of its directory, since `PROFILE` tells only `debug` and `release` apart.
fn profile() -> Option<String> {
    let out = env::var("OUT_DIR").ok()?;
    let mut directories = Path::new(&out).ancestors().skip_while(|path| !path.ends_with("build")).skip(1);
    let name = directories.next()?.file_name()?.to_str()?.to_string();
    Some(if name == "debug" { "dev".into() } else { name })
}
