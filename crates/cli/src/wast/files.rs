//! Finds and reads scripts.

use crate::byte_size::ByteSize;
use crate::module_file::MAX_BYTES;
use belljar::error::Context;
use belljar::{OutsideText, Result};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Returns the scripts of a path: the file itself, whatever its name, or all `.wast` files in a directory and its
/// subdirectories, sorted.
///
/// # Errors
///
/// Returns an error if something cannot be read, or if a directory has no scripts.
pub fn find_scripts(path: &Path) -> Result<Vec<PathBuf>> {
    let meta =
        std::fs::metadata(path).with_context(|| format!("could not read {}", OutsideText::new(path)))?;
    if !meta.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut scripts = Vec::new();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let cannot = || format!("could not list {}", OutsideText::new(&folder));
        for entry in std::fs::read_dir(&folder).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            // The type of the entry itself: links to directories are not followed, which avoids loops.
            if entry.file_type().with_context(cannot)?.is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|e| e == "wast") {
                scripts.push(entry.path());
            }
        }
    }
    belljar::ensure!(
        !scripts.is_empty(),
        "no file in {} has a name ending in `.wast`",
        OutsideText::new(path)
    );
    scripts.sort();
    Ok(scripts)
}

/// Reads a script. Invalid UTF-8 is replaced.
///
/// # Errors
///
/// Returns an error if it cannot be read, or is larger than the limit for modules.
pub(crate) fn read_script(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    // Pipes and devices do not report a size.
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    let read = read.map_err(belljar::Error::from).and_then(|read| {
        let limit = ByteSize(MAX_BYTES);
        belljar::ensure!(
            read as u64 <= MAX_BYTES,
            "the file is too large: a script may have at most {limit}"
        );
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    });
    read.with_context(|| format!("could not read {}", OutsideText::new(path)))
}
