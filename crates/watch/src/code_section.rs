//! Where a binary's code section lies: DWARF counts addresses from the start of its contents.

use wasmparser::{Parser, Payload};

/// Position of the first byte of the code section's contents, the count of functions.
pub(crate) fn code_section_start(wasm: &[u8]) -> Option<u32> {
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionStart { unchecked_range, .. } = payload.ok()? {
            return u32::try_from(unchecked_range.start).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_the_count() {
        let wasm = wat::parse_str("(module (func) (func))").unwrap();
        let start = code_section_start(&wasm).unwrap() as usize;
        // Section id, size, then the contents: two functions.
        assert_eq!(wasm[start - 2], 10);
        assert_eq!(wasm[start], 2);
        assert_eq!(code_section_start(b"\0asm\x01\0\0\0"), None);
        assert_eq!(code_section_start(b"\0asm"), None);
    }
}
