//! Transcripts: each file in `tests/cases` contains files and commands, and the commands' output.
//!
//! ```text
//! What this shows, in a sentence.
//!
//! === add.wat
//! (module …)
//!
//! === broken.wasm, in hexadecimal
//! 00 61 73 6d
//!
//! === $ belljar --invoke add add.wat 2 3
//! 5
//!
//! === $ belljar nothing.wasm
//! ! error: …                     a line of standard error
//! exit 66                        unless it is 0
//! ```
//!
//! Commands run in a directory with the files. A word can be quoted, `< FILE` redirects standard input, and
//! `NAME=VALUE` before the command sets a variable. `BLESS=1 cargo test` updates the expected output in the files.

mod transcript;

use std::path::{Path, PathBuf};
use transcript::Transcript;

fn cases() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|e| e == "txt"));
    cases.sort();
    cases
}

#[test]
fn transcripts_are_as_written() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut differences = String::new();
    for path in cases() {
        let text = std::fs::read_to_string(&path).unwrap();
        let transcript = Transcript::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let found = transcript.replay(Path::new(env!("CARGO_BIN_EXE_belljar")), |name| panic!("no {name}"));
        if found == text {
            continue;
        }
        if bless {
            std::fs::write(&path, found).unwrap();
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy();
        differences.push_str(&format!("\n--- {name}\n{}", transcript::difference(&text, &found)));
    }
    assert!(differences.is_empty(), "{differences}\nBLESS=1 accepts what was found");
}
