//! Demangling and printing of names.

use belljar_core::OutsideText;
use std::fmt::{self, Write};

/// Prints a name that a compiler wrote: Rust and C++ names demangled, all others unchanged.
///
/// Names come from the guest's binary, so they are printed as [`OutsideText`], and long names are cut.
///
/// ```
/// use belljar_watch::PrintedName;
///
/// assert_eq!(PrintedName("_ZN4core9panicking5panic17h0123456789abcdefE").to_string(), "core::panicking::panic");
/// assert_eq!(PrintedName("_Z3addii").to_string(), "add(int, int)");
/// assert_eq!(PrintedName("main").to_string(), "main");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PrintedName<'a>(pub &'a str);

/// The most bytes of a name that are printed.
const MAX_BYTES: usize = 1000;
/// The deepest nesting of a C++ name. The demangler's default would need a large stack.
const CPP_NESTING: u32 = 64;

impl fmt::Display for PrintedName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = BoundedText::default();
        if !demangle(self.0, &mut name) {
            name = BoundedText::default();
            let _ = name.write_str(self.0);
        }
        write!(f, "{}", OutsideText::new(&name.text))?;
        if name.cut { f.write_str("…") } else { Ok(()) }
    }
}

/// Writes the readable form of `name` and returns true, if it is mangled.
#[cfg(feature = "debug-info")]
fn demangle(name: &str, out: &mut BoundedText) -> bool {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return write!(out, "{rust:#}").is_ok() || out.cut;
    }
    if !name.starts_with("_Z") {
        return false;
    }
    let limit = cpp_demangle::ParseOptions::default().recursion_limit(CPP_NESTING);
    let Ok(cpp) = cpp_demangle::Symbol::new_with_options(name, &limit) else { return false };
    let options = cpp_demangle::DemangleOptions::new().recursion_limit(CPP_NESTING);
    cpp.structured_demangle(out, &options).is_ok() || out.cut
}

#[cfg(not(feature = "debug-info"))]
fn demangle(_: &str, _: &mut BoundedText) -> bool {
    false
}

/// Text with a size limit: a mangled name of a few bytes can expand to gigabytes.
#[derive(Default)]
struct BoundedText {
    text: String,
    cut: bool,
}

impl Write for BoundedText {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = s.floor_char_boundary(MAX_BYTES - self.text.len());
        self.text.push_str(&s[..room]);
        self.cut |= room < s.len();
        if self.cut { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    #[test]
    fn a_name_that_stands_for_gigabytes_is_cut() {
        // Each parameter is a pair of two of the previous one.
        let mut bomb = String::from("_Z1f1pIiiE");
        for i in 0..28 {
            let digit = char::from_digit(i, 36).unwrap().to_ascii_uppercase();
            write!(bomb, "S_IS{digit}_S{digit}_E").unwrap();
        }
        let printed = PrintedName(&bomb).to_string();
        assert!(printed.starts_with("f(p<int, int>, p<p<int, int>, p<int, int> >"), "{printed}");
        assert!(printed.ends_with('…') && printed.len() < 2 * MAX_BYTES);
    }

    /// The Itanium C++ ABI has a letter for each basic type: `f` means `float` in a mangled type, but is not a mangled
    /// function name.
    #[test]
    fn names_of_one_letter_are_no_types() {
        for letter in (b'A'..=b'Z').chain(b'a'..=b'z').map(char::from) {
            for name in
                [letter.to_string(), format!("{letter}{letter}"), format!("P{letter}"), format!("D{letter}")]
            {
                assert_eq!(PrintedName(&name).to_string(), name);
            }
        }
    }

    #[test]
    fn odd_names_print_as_they_are() {
        for odd in ["", "_Z", "_ZN", "_R", "_RNvC0", "main", "naïve"] {
            assert_eq!(PrintedName(odd).to_string(), odd);
        }
        assert_eq!(PrintedName(&"é".repeat(MAX_BYTES)).to_string().chars().count(), MAX_BYTES / 2 + 1);
        let deep = format!("_Z1f{}i", "P".repeat(100_000));
        assert_eq!(PrintedName(&deep).to_string().len(), MAX_BYTES + '…'.len_utf8());
    }
}
