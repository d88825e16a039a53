//! What a file is that is no module, from how it begins: somebody gave the archive, the page or the pointer instead of what is in it.

use belljar::OutsideText;
use std::path::Path;

/// How files of other kinds begin, and what to say of them.
const KINDS: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "it is compressed with gzip: `gunzip` unpacks it"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with Zstandard: `zstd -d` unpacks it"),
    (b"\xfd7zXZ\0", "it is compressed with xz: `unxz` unpacks it"),
    (b"BZh", "it is compressed with bzip2: `bunzip2` unpacks it"),
    (b"\x04\x22\x4d\x18", "it is compressed with LZ4: `lz4 -d` unpacks it"),
    (b"PK\x03\x04", "it is a ZIP archive: take the module out of it"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive: take the module out of it"),
    (b"!<arch>\n", "it is an archive of object files: link it to a module with wasm-ld"),
    (b"BC\xc0\xde", "it is LLVM bitcode: make a module of it with clang --target=wasm32-wasip1"),
    (
        b"\x7fELF",
        "it is an ELF file; those that `belljar compile` made are read from files alone, not from pipes",
    ),
    (b"MZ", "it is a program or library for Windows, or of .NET"),
    (b"\xcf\xfa\xed\xfe", "it is a program or library for macOS"),
    (b"\xca\xfe\xba\xbe", "it is a class of Java, or a program for macOS"),
    (b"\xff\xfe", "it is text in UTF-16: the text format is UTF-8"),
    (b"\xfe\xff", "it is text in UTF-16: the text format is UTF-8"),
    (
        b"version https://git-lfs",
        "it is what Git LFS keeps in place of the file: `git lfs pull` fetches that",
    ),
    (b"AGFzb", "it is a module in base64: `base64 -d` unpacks it"),
    (
        b"data:application/wasm",
        "it is a module in base64, as a URL: `base64 -d` unpacks what follows the comma",
    ),
    (b"#!", "it is a script"),
    (b"{", "it looks like JSON"),
    (b"[", "it looks like JSON"),
];

/// Where a tar archive says that it is one.
const TAR: (usize, &[u8]) = (257, b"ustar");

/// How a wasm binary starts.
const WASM: &[u8] = b"\0asm";

/// Characters of a text that are shown.
const SHOWN: usize = 40;

/// What a file is, in a sentence; `None` if it may be a binary or the text format of a module, or nobody knows.
pub(crate) fn describe(bytes: &[u8], path: &Path) -> Option<String> {
    if bytes.starts_with(WASM) {
        return None;
    }
    if let Some((_, what)) = KINDS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Some((*what).into());
    }
    if bytes.get(TAR.0..).is_some_and(|rest| rest.starts_with(TAR.1)) {
        return Some("it is a tar archive: take the module out of it".into());
    }
    let extension = path.extension().unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) if extension != "wat" && extension != "wast" => describe_text(text),
        // It has no mark of its own.
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
        return Some("it is an HTML page, perhaps what a server answered in place of the file".into());
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
        // Its author wants to know where the error is.
        check(b"module", "a.wat", None);
    }

    #[test]
    fn each_kind_is_told() {
        for (start, what) in KINDS {
            check(&[start, &b"..."[..]].concat(), "a.wasm", Some(what));
        }
        let mut tar = vec![b'a'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        check(&tar, "a.wasm", Some("it is a tar archive: take the module out of it"));
        check(b"\x8b\x05\x80", "a.wasm.br", Some("it is compressed with Brotli: `brotli -d` unpacks it"));
        let page = "it is an HTML page, perhaps what a server answered in place of the file";
        check(b"\xef\xbb\xbf\n<!DOCTYPE html>", "a.wasm", Some(page));
        check(b"<HTML>", "a.wasm", Some(page));
    }

    #[test]
    fn other_text_is_quoted_as_far_as_it_is_harmless() {
        let told = describe(b"\x1b[2Jred\nmore", Path::new("a.wasm")).unwrap();
        assert!(told.contains(r"it begins with `\u{1b}[2Jred` "), "{told}");
        let told = describe("ä".repeat(100).as_bytes(), Path::new("a.wasm")).unwrap();
        assert!(told.contains(&format!("`{}` ", "ä".repeat(SHOWN))), "{told}");
    }
}
