//! Amounts in messages: of memory, and of other things. Bytes and wasm pages have different types, so that they cannot be
//! mixed up.

use std::fmt;

/// Bytes in a WebAssembly page of the default size.
pub const WASM_PAGE_SIZE: u64 = 65536;

/// A number of bytes. Prints as `1088 KiB` if that is exact, and as bytes otherwise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ByteCount(pub u64);

/// The units of sizes, the largest first.
const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

impl ByteCount {
    /// Formats sizes that a message compares: all in the largest unit in which each is a whole number.
    ///
    /// ```
    /// use belljar_core::ByteCount;
    /// assert_eq!(ByteCount::in_one_unit([1088 << 10, 1 << 20]), ["1088 KiB", "1024 KiB"]);
    /// assert_eq!(ByteCount::in_one_unit([0, 2 << 30]), ["0 bytes", "2 GiB"]);
    /// assert_eq!(ByteCount::in_one_unit([1, 1 << 20]), ["1 byte", "1048576 bytes"]);
    /// ```
    pub fn in_one_unit<const N: usize>(sizes: [u64; N]) -> [String; N] {
        let fits = |unit: u64| sizes.iter().all(|size| size.is_multiple_of(unit));
        match UNITS.iter().find(|(unit, _)| fits(*unit) && sizes.iter().any(|size| *size > 0)) {
            Some((unit, name)) => sizes.map(|size| match size {
                0 => "0 bytes".into(),
                size => format!("{} {name}", size / unit),
            }),
            None => sizes.map(|size| Counted(size, "byte").to_string()),
        }
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [text] = Self::in_one_unit([self.0]);
        f.write_str(&text)
    }
}

/// A number of wasm pages of 64 KiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PageCount(pub u64);

impl PageCount {
    /// Returns the size of that many pages, or `None` if it does not fit 64 bits.
    pub const fn bytes(self) -> Option<ByteCount> {
        match self.0.checked_mul(WASM_PAGE_SIZE) {
            Some(n) => Some(ByteCount(n)),
            None => None,
        }
    }
}

impl fmt::Display for PageCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Counted(self.0, "page").fmt(f)
    }
}

/// A number of things, whose noun is given in the singular: prints as `1 import`, `2 memories`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counted(pub u64, pub &'static str);

impl Counted {
    /// Counts things of this process, of which there are fewer than 2^64.
    pub const fn of(number: usize, noun: &'static str) -> Self {
        Self(number as u64, noun)
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, noun) = self;
        match (number, noun.strip_suffix('y')) {
            (1, _) => write!(f, "1 {noun}"),
            (_, Some(stem)) => write!(f, "{number} {stem}ies"),
            _ if noun.ends_with(['x', 's']) => write!(f, "{number} {noun}es"),
            _ => write!(f, "{number} {noun}s"),
        }
    }
}

/// Returns the indefinite article for a noun or a type, as it is read aloud: `an i32`, `an f64`, `a v128`, `an Extern`.
pub fn article(noun: &str) -> &'static str {
    let mut letters = noun.chars();
    match (letters.next(), letters.next()) {
        (Some('f'), Some('0'..='9')) => "an",
        (Some('a' | 'e' | 'i' | 'o' | 'A' | 'E' | 'I' | 'O'), _) => "an",
        _ => "a",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_print_in_the_largest_exact_unit() {
        assert_eq!(ByteCount(17 * 65536).to_string(), "1088 KiB");
        assert_eq!(ByteCount(1 << 30).to_string(), "1 GiB");
        assert_eq!(ByteCount(1025).to_string(), "1025 bytes");
        assert_eq!(ByteCount(1).to_string(), "1 byte");
        assert_eq!(PageCount(1).to_string(), "1 page");
        assert_eq!(ByteCount(0).to_string(), "0 bytes");
        assert_eq!(PageCount(u64::MAX).bytes(), None);
    }

    #[test]
    fn sizes_that_are_compared_have_one_unit() {
        assert_eq!(ByteCount::in_one_unit([2 << 20, 1 << 20]), ["2 MiB", "1 MiB"]);
        assert_eq!(ByteCount::in_one_unit([3 << 30, 1 << 20]), ["3072 MiB", "1 MiB"]);
        assert_eq!(ByteCount::in_one_unit([1025, 1024]), ["1025 bytes", "1024 bytes"]);
        assert_eq!(ByteCount::in_one_unit([0, 0]), ["0 bytes", "0 bytes"]);
    }

    #[test]
    fn nouns_follow_their_numbers() {
        let nouns = |number| ["import", "memory", "sandbox"].map(|noun| Counted(number, noun).to_string());
        assert_eq!(nouns(0), ["0 imports", "0 memories", "0 sandboxes"]);
        assert_eq!(nouns(1), ["1 import", "1 memory", "1 sandbox"]);
        assert_eq!(nouns(2), ["2 imports", "2 memories", "2 sandboxes"]);
        for noun in ["i64", "f32", "externref", "Extern", "import", "array"] {
            assert_eq!(article(noun), "an", "{noun}");
        }
        for noun in ["v128", "funcref", "(ref null 3)", "Func", "global", "unknown"] {
            assert_eq!(article(noun), "a", "{noun}");
        }
    }
}
