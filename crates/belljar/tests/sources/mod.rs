//! The source files of a folder, for tests that read them. The adversary's tests use it as well.

use std::path::{Path, PathBuf};

/// Adds the Rust files below a folder to `found`.
pub(crate) fn add_rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
