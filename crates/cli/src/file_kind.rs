//! Recognizes files that are not modules by their first bytes, such as an archive, an HTML page or a pointer in place
//! of the module.

use belljar::OutsideText;
use std::path::Path;

/// The first bytes of other kinds of files, and what to say about them.
const KINDS: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "it is compressed with gzip: `gunzip` unpacks it"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with Zstandard: `zstd -d` unpacks it"),
    (b"\xfd7zXZ\0", "it is compressed with xz: `unxz` unpacks it"),
    (b"BZh", "it is compressed with bzip2: `bunzip2` unpacks it"),
    (b"\x04\x22\x4d\x18", "it is compressed with LZ4: `lz4 -d` unpacks it"),
    (b"PK\x03\x04", "it is a ZIP archive: extract the module from it"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive: extract the module from it"),
    (b"!<arch>\n", "it is an archive of object files: link it to a module with wasm-ld"),
    (b"BC\xc0\xde", "it is LLVM bitcode: compile it to a module with clang --target=wasm32-wasip1"),
    (
        b"\x7fELF",
        "it is an ELF file; artifacts of `belljar compile` can be read only from files, not from pipes",
    ),
    (b"MZ", "it is a program or library for Windows, or of .NET"),
    (b"\xcf\xfa\xed\xfe", "it is a program or library for macOS"),
    (b"\xca\xfe\xba\xbe", "it is a class of Java, or a program for macOS"),
    (b"\xff\xfe", "it is text in UTF-16: the text format is UTF-8"),
    (b"\xfe\xff", "it is text in UTF-16: the text format is UTF-8"),
    (b"version https://git-lfs", "it is a Git LFS pointer: `git lfs pull` fetches the file"),
    (b"AGFzb", "it is a module in base64: `base64 -d` unpacks it"),
    (
        b"data:application/wasm",
        "it is a module in base64, as a URL: `base64 -d` unpacks what follows the comma",
    ),
    (b"#!", "it is a script"),
    (b"{", "it looks like JSON"),
    (b"[", "it looks like JSON"),
];

/// Where a tar archive has its magic bytes.
const TAR: (usize, &[u8]) = (257, b"ustar");

/// The first bytes of a wasm binary.
const WASM: &[u8] = b"\0asm";

/// The most characters of a text to show.
const SHOWN: usize = 40;

/// Describes a file that is not a module, as a sentence; `None` if it may be a module in binary or text format, or is
/// unknown.
pub(crate) fn describe(bytes: &[u8], path: &Path) -> Option<String> {
    if bytes.starts_with(WASM) {
        return None;
    }
    if let Some((_, what)) = KINDS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Some((*what).into());
    }
    if bytes.get(TAR.0..).is_some_and(|rest| rest.starts_with(TAR.1)) {
        return Some("it is a tar archive: extract the module from it".into());
    }
    let extension = path.extension().unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) if extension != "wat" && extension != "wast" => describe_text(text),
        // Brotli has no magic bytes.
        Err(_) if extension == "br" => Some("it is compressed with Brotli: `brotli -d` unpacks it".into()),
        _ => None,
    }
}

fn describe_text(text: &str) -> Option<String> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.is_empty() || text.starts_with(['(', ';', '\0']) {
        return None;
    }
    let start: String = text.lines().next().unwrap_or_default().chars().take(SHOWN).collect();
    let lowercase = start.to_ascii_lowercase();
    if lowercase.starts_with("<!doctype html") || lowercase.starts_with("<html") {
        return Some("it is an HTML page, perhaps the answer of a server instead of the file".into());
    }
    let start = OutsideText::new(start.trim_end());
    Some(format!("it is text, but not WebAssembly's text format: it begins with `{start}` instead of `(`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], name: &str, expected: Option<&str>) {
        assert_eq!(describe(bytes, Path::new(name)).as_deref(), expected);
    }

    #[test]
    fn what_may_be_a_module_is_none_of_them() {
        for bytes in
            [&b"\0asm\x01\0\0\0"[..], b"", b"\0", b"(module)", b"  ;; text\n(module)", b"(;;)", b"\x80"]
        {
            check(bytes, "a.wasm", None);
        }
        check(b"(module)", "a", None);
        // For a `.wat` file, the position of the syntax error is more useful.
        check(b"module", "a.wat", None);
    }

    #[test]
    fn each_kind_is_told() {
        for (start, what) in KINDS {
            check(&[start, &b"..."[..]].concat(), "a.wasm", Some(what));
        }
        let mut tar = vec![b'a'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        check(&tar, "a.wasm", Some("it is a tar archive: extract the module from it"));
        check(b"\x8b\x05\x80", "a.wasm.br", Some("it is compressed with Brotli: `brotli -d` unpacks it"));
        let page = "it is an HTML page, perhaps the answer of a server instead of the file";
        check(b"\xef\xbb\xbf\n<!DOCTYPE html>", "a.wasm", Some(page));
        check(b"<HTML>", "a.wasm", Some(page));
    }

    #[test]
    fn other_text_is_quoted_as_far_as_it_is_harmless() {
        let message = describe(b"\x1b[2Jred\nmore", Path::new("a.wasm")).unwrap();
        assert!(message.contains(r"it begins with `\u{1b}[2Jred` "), "{message}");
        let message = describe("ä".repeat(100).as_bytes(), Path::new("a.wasm")).unwrap();
        assert!(message.contains(&format!("`{}` ", "ä".repeat(SHOWN))), "{message}");
    }
}
