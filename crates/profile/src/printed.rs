//! Names as people read them.

use crate::limits::NAME_BYTES;

/// A name without control characters, so that it cannot write to the reader's terminal, and cut if it is long. What
/// was printed prints as itself.
pub(crate) fn printed(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        let end = out.len();
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        if out.len() > NAME_BYTES {
            out.truncate(end);
            out.push('…');
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printed("a\nb\u{1b}[31m\u{85}\u{0}"), r"a\nb\u{1b}[31m\u{85}\u{0}");
        for plain in ["", "naïve", "sort::<T>", r"back\slash", "'\"<&"] {
            assert_eq!(printed(plain), plain);
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(printed(&"x".repeat(NAME_BYTES)), "x".repeat(NAME_BYTES));
        assert_eq!(printed(&"x".repeat(NAME_BYTES + 1)), "x".repeat(NAME_BYTES) + "…");
        assert_eq!(printed(&format!("x{}", "é".repeat(600))), format!("x{}…", "é".repeat(499)));
        assert_eq!(printed(&"\u{0}".repeat(600)), r"\u{0}".repeat(200) + "…");
    }

    #[test]
    fn what_was_printed_prints_as_itself() {
        for length in NAME_BYTES - 5..NAME_BYTES + 5 {
            for tail in ["", "é", "🦀", "\n", "…", "\u{1b}\u{1b}"] {
                let once = printed(&("x".repeat(length) + tail));
                assert!(once.len() <= NAME_BYTES + '…'.len_utf8());
                assert_eq!(printed(&once), once);
            }
        }
    }
}
