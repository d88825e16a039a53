//! The text of `belljar --version`.

use std::fmt::Write;
use std::sync::LazyLock;

/// The commit that this was built from; empty if it is not known.
const COMMIT: &str = env!("BELLJAR_COMMIT");

/// The release and how it was built, in several lines.
static LONG: LazyLock<String> = LazyLock::new(|| {
    let commit = if COMMIT.is_empty() { "unknown" } else { COMMIT };
    let (target, profile) = (env!("BELLJAR_TARGET"), env!("BELLJAR_PROFILE"));
    let rows = [
        ("commit", commit.into()),
        ("compiler", format!("Cranelift {}", belljar::CRANELIFT_VERSION)),
        ("target", target.into()),
        ("profile", profile.into()),
        ("cargo features", listed(belljar::cargo_features())),
        ("WebAssembly features", listed(belljar::default_wasm_features())),
    ];
    let mut text = String::from(env!("CARGO_PKG_VERSION"));
    for (name, value) in rows {
        let _ = write!(text, "\n{name}: {value}");
    }
    text
});

fn listed<T: AsRef<str>>(names: impl Iterator<Item = T>) -> String {
    let names: Vec<String> = names.map(|name| name.as_ref().to_string()).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// Returns the text of `--version`, without the program's name. `-V` prints only its first line.
pub(crate) fn long() -> &'static str {
    &LONG
}
