//! Amounts of memory. Bytes and wasm pages have different types, so that they cannot be mixed up.

use std::fmt;

/// Bytes in a WebAssembly page of the default size.
pub const WASM_PAGE_SIZE: u64 = 65536;

/// A number of bytes. Prints as `1088 KiB` if that is exact, and as bytes otherwise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ByteCount(pub u64);

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        for (size, name) in UNITS {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return write!(f, "{} {name}", self.0 / size);
            }
        }
        write!(f, "{} byte{}", self.0, if self.0 == 1 { "" } else { "s" })
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
        write!(f, "{} page{}", self.0, if self.0 == 1 { "" } else { "s" })
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
        assert_eq!(PageCount(u64::MAX).bytes(), None);
    }
}
