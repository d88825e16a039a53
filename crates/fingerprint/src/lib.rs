//! For build scripts: a digest of a crate's sources, which tells builds with different code apart.
//!
//! Compiled modules outlive the program that created them. The release number does not say whether another program may
//! use them, as there are many builds between two releases. So every crate that affects generated code holds a digest
//! of its own sources.
//!
//! In: the sources of the package whose build script calls this. Out: `sources.rs` in the build's output directory, 32
//! numbers to include. Never: anything outside the package, so that a published package yields the same digest as its
//! repository. It has no dependencies: everything else waits for it.

mod sha256;

use sha256::Sha256;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Writes the digest of a package's manifest and of everything below `src`.
///
/// # Errors
///
/// Returns an error if the sources cannot be read or the result cannot be written.
pub fn write() -> io::Result<()> {
    let directory = |name| env::var_os(name).map(PathBuf::from).ok_or(io::ErrorKind::NotFound);
    let package = directory("CARGO_MANIFEST_DIR")?;
    println!("cargo::rerun-if-changed=src");
    let digest = of_directory(&package.join("src"))?;
    fs::write(directory("OUT_DIR")?.join("sources.rs"), format!("{digest:?}"))
}

/// Returns the digest of all files in a directory and their names.
fn of_directory(directory: &Path) -> io::Result<[u8; 32]> {
    let mut files = Vec::new();
    list(directory, &mut files)?;
    files.sort();
    let mut hasher = Sha256::new();
    for file in files {
        let name = file.strip_prefix(directory).unwrap_or(&file).to_string_lossy().into_owned();
        for part in [name.into_bytes(), fs::read(&file)?] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(&part);
        }
    }
    Ok(hasher.finalize())
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        match path.is_dir() {
            true => list(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_contents_both_count() {
        let scratch = env::temp_dir().join(format!("belljar-fingerprint-{}", std::process::id()));
        let digest = |files: &[(&str, &str)]| {
            fs::create_dir_all(scratch.join("sub")).unwrap();
            files.iter().for_each(|(name, text)| fs::write(scratch.join(name), text).unwrap());
            let digest = of_directory(&scratch).unwrap();
            fs::remove_dir_all(&scratch).unwrap();
            digest
        };
        let first = digest(&[("a", "1"), ("sub/b", "2")]);
        assert_eq!(first, digest(&[("sub/b", "2"), ("a", "1")]));
        assert_ne!(first, digest(&[("a", "1"), ("sub/c", "2")]));
        assert_ne!(first, digest(&[("a", "12"), ("sub/b", "")]));
    }
}
