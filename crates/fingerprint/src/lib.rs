//! For build scripts: a digest of the sources of a crate, which tells builds apart whose code differs.
//!
//! Compiled modules outlive the program that made them. A release number does not say whether the next program may use
//! them: between two releases there are many builds. So every crate that shapes code holds a digest of its own sources.
//!
//! In: the sources of the package whose build script this is. Out: `sources.rs` in the build's directory, 32 numbers to
//! be included. Never: anything that is not in the package, so that a published package gives what its repository gave.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Writes the digest of a package's manifest and of everything below `src`.
///
/// # Errors
///
/// Where the sources cannot be read or the result cannot be written.
pub fn write() -> io::Result<()> {
    let directory = |name| env::var_os(name).map(PathBuf::from).ok_or(io::ErrorKind::NotFound);
    let package = directory("CARGO_MANIFEST_DIR")?;
    println!("cargo::rerun-if-changed=src");
    let digest = of_directory(&package.join("src"))?;
    fs::write(directory("OUT_DIR")?.join("sources.rs"), format!("{digest:?}"))
}

/// The digest of all files of a directory, with their names.
fn of_directory(directory: &Path) -> io::Result<[u8; 32]> {
    let mut files = Vec::new();
    list(directory, &mut files)?;
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in files {
        let name = file.strip_prefix(directory).unwrap_or(&file).to_string_lossy().into_owned();
        for part in [name.into_bytes(), fs::read(&file)?] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(&part);
        }
    }
    Ok(hasher.finalize().into())
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
