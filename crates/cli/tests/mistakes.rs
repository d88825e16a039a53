//! Typical mistakes and the messages about them: `mistakes.txt` has each mistake with its message, in the form of the
//! transcripts in `cases`. A part `=== library: NAME` is a mistake in using the library, which has a function in
//! `mistakes/library.rs`.
//!
//! A message says what was expected, what was found, and what to do. `BLESS=1 cargo test` updates the file.

#[path = "mistakes/library.rs"]
mod library;
mod transcript;

use std::collections::BTreeSet;
use std::path::Path;
use transcript::Transcript;

/// The fewest mistakes that the file may have.
const LEAST: usize = 60;

#[test]
fn messages_are_as_written() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    let transcript = Transcript::parse(&text).unwrap();
    let found = transcript.replay(Path::new(env!("CARGO_BIN_EXE_belljar")), library::message);
    if found == text {
        return;
    }
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(path, found).unwrap();
    }
    panic!("\n{}\nBLESS=1 accepts what was found", transcript::difference(&text, &found));
}

#[test]
fn the_table_is_whole() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let transcript = Transcript::parse(&text).unwrap();
    let commands = transcript.titles().filter(|title| title.starts_with("$ ")).count();
    let listed: BTreeSet<&str> =
        transcript.titles().filter_map(|title| title.strip_prefix("library: ")).collect();
    let all: BTreeSet<&str> = library::MISTAKES.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, all);
    assert!(commands + all.len() >= LEAST, "{commands} + {}", all.len());
}
