//! Texts of other processes, as they may be shown.

use std::fmt::{self, Write};

/// Prints a text that somebody else wrote. Control characters are escaped, so that it cannot write to the reader's terminal; line
/// ends stay.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() && c != '\n' {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// The same on one line, of at most so many characters.
pub(crate) fn short(text: &str, longest: usize) -> String {
    let mut chars = text.chars();
    let mut shown = String::new();
    for c in chars.by_ref().take(longest) {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    if chars.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_write_to_the_terminal() {
        assert_eq!(Printable("a\n\u{1b}[2Jb\r\u{9b}").to_string(), "a\n\\u{1b}[2Jb\\r\\u{9b}");
        assert_eq!(short("a\nb\u{1b}", 9), "a\\nb\\u{1b}");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(short("naïve", 5), "naïve");
        assert_eq!(short("naïve!", 5), "naïv…");
    }
}
