//! Sizes in bytes, parsed and printed in human-readable form.

use belljar::OutsideText;
use std::fmt;
use std::str::FromStr;

/// A number of bytes: `65536`, `64K`, `16MiB`, `2G`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ByteSize(pub(crate) u64);

/// Units, largest first, with their powers of two. `K` is always 1024.
const UNITS: [(&str, u32); 4] = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected a size such as 65536, 64K, 16MiB or 2G, found `{}`", OutsideText::new(text));
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| expected())?;
        let unit = text[digits..].trim().to_ascii_uppercase();
        let unit = unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit);
        let power = match UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, power)) => *power,
            None if unit.is_empty() => 0,
            None => return Err(expected()),
        };
        number
            .checked_mul(1 << power)
            .map(Self)
            .ok_or_else(|| format!("`{}` is more than 2^64 bytes", OutsideText::new(text)))
    }
}

/// Prints the size with its largest unit: exactly if it is a multiple of the unit, otherwise with one decimal.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, power) in UNITS {
            let unit = 1_u64 << power;
            if self.0 >= unit {
                return match self.0 % unit {
                    0 => write!(f, "{} {name}iB", self.0 / unit),
                    _ => write!(f, "{:.1} {name}iB", self.0 as f64 / unit as f64),
                };
            }
        }
        match self.0 {
            1 => f.write_str("1 byte"),
            n => write!(f, "{n} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        let read = |text: &str| text.parse::<ByteSize>().map(|s| s.0);
        assert_eq!(read("65536"), Ok(65536));
        assert_eq!(read("64k"), Ok(65536));
        assert_eq!(read("64 KiB"), Ok(65536));
        assert_eq!(read("2G"), Ok(2 << 30));
        for bad in ["", "x", "-1", "1.5M", "1Q", "99999999999999999999", "99999999T", "K"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_printed_with_the_largest_unit() {
        assert_eq!(ByteSize(0).to_string(), "0 bytes");
        assert_eq!(ByteSize(1088 << 10).to_string(), "1.1 MiB");
        assert_eq!(ByteSize(2 << 30).to_string(), "2 GiB");
        assert_eq!(ByteSize(1536).to_string(), "1.5 KiB");
    }
}
