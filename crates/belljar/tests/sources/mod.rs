//! The source files of a folder, for tests that read them. Also used by the adversary's.

use std::path::{Path, PathBuf};

/// Adds the Rust files below a folder to those that were found.
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
