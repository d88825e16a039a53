//! Untrusted text, escaped for printing.
//!
//! In: names in modules, file names, arguments, output of other processes, and messages that quote any of these. Out:
//! the same text, safe to print. Terminals obey control characters, and bidirectional controls make one text look like
//! another; neither passes. This is the only place that decides which characters those are.
//!
//! | character | on a line of its own ([`OutsideText::new`]) | [`OutsideText::lines`] | [`OutsideText::json`] |
//! |---|---|---|---|
//! | line end, tab, carriage return | `\n`, `\t`, `\r` | the line end stays | stay, as they lie between values |
//! | other characters without a glyph | `\u{1b}`, `\u{202e}` | the same | `\u001b`, `\u202e` |
//! | bytes that are not UTF-8 | `\xff` | the same | U+FFFD |
//!
//! A backslash stays as it is, so text that was escaped once is not escaped again. The result is meant for reading: two
//! different texts can print alike, and printed text cannot be converted back.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Write};

/// Text from outside, which is printed only in escaped form.
///
/// Letters, digits, marks and signs of all scripts print as themselves.
///
/// ```
/// use belljar_core::OutsideText;
///
/// let name = "run\u{1b}[2J\n\u{202e}naïve";
/// assert_eq!(OutsideText::new(name).to_string(), r"run\u{1b}[2J\n\u{202e}naïve");
/// assert_eq!(OutsideText::of_bytes(b"caf\xe9").to_string(), r"caf\xe9");
/// assert_eq!(OutsideText::new("a\nb\x07").lines().to_string(), "a\nb\\u{7}");
/// assert_eq!(OutsideText::new("{\"a\":\"\u{7f}\"}").json().to_string(), r#"{"a":"\u007f"}"#);
/// assert_eq!(format!("{:<6}|", OutsideText::new("ab")), "ab    |");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OutsideText<'a> {
    bytes: &'a [u8],
    form: Form,
    /// The most characters that are printed.
    longest: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Line,
    Lines,
    Json,
}

impl<'a> OutsideText<'a> {
    /// Wraps a string, a path or an argument, to be printed within a line.
    pub fn new<S: AsRef<OsStr> + ?Sized>(text: &'a S) -> Self {
        Self::of_bytes(text.as_ref().as_encoded_bytes())
    }

    /// Wraps bytes that should be UTF-8, to be printed within a line.
    pub const fn of_bytes(bytes: &'a [u8]) -> Self {
        Self { bytes, form: Form::Line, longest: usize::MAX }
    }

    /// Returns the same text with its line ends kept: for a multi-line text of our own that quotes untrusted text.
    pub const fn lines(self) -> Self {
        Self { form: Form::Lines, ..self }
    }

    /// Formats a parser's message: a sentence, optionally followed by a location that starts with a line ` --> ` and
    /// shows the source line. Only the line ends of the location are kept, since the sentence can quote text that
    /// contains some.
    pub fn of_diagnostic(message: &str) -> String {
        let place =
            message.rmatch_indices("\n").find(|(at, _)| message[at + 1..].trim_start().starts_with("--> "));
        let (sentence, place) = message.split_at(place.map_or(message.len(), |(at, _)| at));
        format!("{}{}", OutsideText::new(sentence), OutsideText::new(place).lines())
    }

    /// Returns the same text in the form for JSON. The text must already be JSON: only characters within its strings
    /// remain to be escaped.
    pub const fn json(self) -> Self {
        Self { form: Form::Json, ..self }
    }

    /// Returns the same text cut to `longest` characters, escapes included. A cut text ends with an ellipsis, and an
    /// escape is never split.
    pub const fn cut(self, longest: usize) -> Self {
        Self { longest, ..self }
    }

    /// Returns the printed form: the text itself if nothing is escaped or cut.
    pub fn to_cow(self) -> Cow<'a, str> {
        match std::str::from_utf8(self.bytes) {
            Ok(text) if self.longest == usize::MAX && text.chars().all(|c| self.keeps(c)) => {
                Cow::Borrowed(text)
            }
            _ => Cow::Owned(self.to_string()),
        }
    }

    /// Returns whether a character is printed as itself: it has a glyph or is a space, and has no other effect.
    ///
    /// The others are control characters (C0, DEL, C1), and the characters that Unicode calls format characters,
    /// separators of lines and paragraphs, or ignorable by default: bidirectional controls, zero-width characters, soft
    /// hyphens, variation selectors, tags, fillers.
    pub const fn prints_as_itself(c: char) -> bool {
        if c.is_ascii() {
            return !c.is_ascii_control();
        }
        !matches!(c,
            '\u{80}'..='\u{9f}' // C1
            | '\u{ad}' // soft hyphen
            | '\u{34f}' // combining grapheme joiner
            | '\u{61c}' // Arabic letter mark
            | '\u{115f}'..='\u{1160}' | '\u{3164}' | '\u{ffa0}' // Hangul fillers
            | '\u{17b4}'..='\u{17b5}' // Khmer inherent vowels
            | '\u{180b}'..='\u{180f}' // Mongolian variation selectors and vowel separator
            | '\u{200b}'..='\u{200f}' // no width, joiners, directional marks
            | '\u{2028}'..='\u{202e}' // separators, embeddings and overrides
            | '\u{2060}'..='\u{206f}' // word joiner, invisible operators, isolates
            | '\u{fe00}'..='\u{fe0f}' // variation selectors
            | '\u{feff}' // byte order mark
            | '\u{fff0}'..='\u{fffb}' // unassigned ignorables, interlinear annotations
            | '\u{1bca0}'..='\u{1bca3}' // shorthand format controls
            | '\u{1d173}'..='\u{1d17a}' // musical format controls
            | '\u{e0000}'..='\u{e0fff}' // tags, further variation selectors
        )
    }

    /// Returns whether this form leaves the character as it is.
    fn keeps(self, c: char) -> bool {
        match self.form {
            _ if Self::prints_as_itself(c) => true,
            Form::Line => false,
            Form::Lines => c == '\n',
            Form::Json => matches!(c, '\n' | '\r' | '\t'),
        }
    }

    fn write_escape(self, c: char, out: &mut impl Write) -> fmt::Result {
        match self.form {
            Form::Json => {
                c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))
            }
            Form::Line | Form::Lines => write!(out, "{}", c.escape_default()),
        }
    }

    fn write_byte(self, byte: u8, out: &mut impl Write) -> fmt::Result {
        match self.form {
            Form::Json => out.write_char(char::REPLACEMENT_CHARACTER),
            Form::Line | Form::Lines => write!(out, "\\x{byte:02x}"),
        }
    }

    fn write(self, out: &mut impl Write) -> fmt::Result {
        for chunk in self.bytes.utf8_chunks() {
            let mut rest = chunk.valid();
            while let Some((at, odd)) = rest.char_indices().find(|(_, c)| !self.keeps(*c)) {
                out.write_str(&rest[..at])?;
                self.write_escape(odd, out)?;
                rest = &rest[at + odd.len_utf8()..];
            }
            out.write_str(rest)?;
            chunk.invalid().iter().try_for_each(|byte| self.write_byte(*byte, out))?;
        }
        Ok(())
    }
}

impl fmt::Display for OutsideText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.width().is_none() && self.longest == usize::MAX {
            return self.write(f);
        }
        let mut text = Bounded::new(self.longest);
        // An error only means that the text is full.
        let _ = self.write(&mut text);
        f.pad(&text.finish())
    }
}

/// Prints the text in quotation marks.
impl fmt::Debug for OutsideText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Text of a bounded number of characters.
struct Bounded {
    text: String,
    /// The number of characters that still fit.
    room: usize,
    /// Where the text is cut if it turns out too long, leaving room for an ellipsis.
    end: usize,
    is_full: bool,
}

impl Bounded {
    fn new(longest: usize) -> Self {
        Self { text: String::new(), room: longest, end: 0, is_full: false }
    }

    fn finish(mut self) -> String {
        if self.is_full {
            self.text.truncate(self.end);
            self.text.push('…');
        }
        self.text
    }

    /// Appends all of a piece or none of it.
    fn push(&mut self, piece: &str) -> fmt::Result {
        let length = piece.chars().count();
        if length > self.room {
            self.is_full = true;
            return Err(fmt::Error);
        }
        self.text.push_str(piece);
        self.room -= length;
        if self.room > 0 {
            self.end = self.text.len();
        }
        Ok(())
    }
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_char(c))
    }

    fn write_char(&mut self, c: char) -> fmt::Result {
        self.push(c.encode_utf8(&mut [0; 4]))
    }

    /// Only escapes are formatted.
    fn write_fmt(&mut self, escape: fmt::Arguments<'_>) -> fmt::Result {
        self.push(&escape.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        OutsideText::new(text).to_string()
    }

    #[test]
    fn what_has_no_glyph_is_escaped() {
        let odd = "\0\t\n\r\x1b\x7f\u{80}\u{85}\u{9b}\u{9f}\u{ad}\u{61c}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\
            \u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2066}\u{2067}\u{2068}\u{2069}\u{fe0f}\u{feff}\
            \u{fff9}\u{e0001}\u{e007f}\u{e0100}";
        let printed = line(odd);
        assert!(printed.chars().all(|c| (' '..='~').contains(&c)), "{printed}");
        assert!(printed.starts_with(r"\u{0}\t\n\r\u{1b}\u{7f}\u{80}\u{85}\u{9b}"), "{printed}");
        assert_eq!(printed.matches('\\').count(), odd.chars().count());
    }

    #[test]
    fn what_people_read_stays() {
        for plain in [
            "",
            "a",
            " ",
            "naïve",
            "sort::<T>",
            r"back\slash",
            "'\"<&`",
            "日本語",
            "שלום",
            "é\u{301}",
            "🦀",
            "\u{e000}",
        ] {
            assert_eq!(line(plain), plain);
            assert!(matches!(OutsideText::new(plain).to_cow(), Cow::Borrowed(_)));
            assert_eq!(format!("{:?}", OutsideText::new(plain)), format!("\"{plain}\""));
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_told() {
        let print = |bytes| OutsideText::of_bytes(bytes).to_string();
        assert_eq!(print(b"a\xff\xc3b\xe2\x80"), r"a\xff\xc3b\xe2\x80");
        assert_eq!(OutsideText::of_bytes(b"\xff").to_cow(), r"\xff");
        // Encoded surrogates, and a C1 character as a byte of another encoding.
        assert_eq!(print(b"\xed\xa0\x80\x9b"), r"\xed\xa0\x80\x9b");
        assert_eq!(OutsideText::of_bytes(b"\"\xff\"").json().to_string(), "\"\u{fffd}\"");
    }

    #[test]
    fn forms_differ_in_line_ends_and_escapes() {
        let text = "a\n\tb\u{1b}\u{e0001}";
        assert_eq!(line(text), r"a\n\tb\u{1b}\u{e0001}");
        assert_eq!(OutsideText::new(text).lines().to_string(), "a\n\\tb\\u{1b}\\u{e0001}");
        assert_eq!(
            OutsideText::new("{\n\t\"\u{e0001}\u{7f}\"}").json().to_string(),
            "{\n\t\"\\udb40\\udc01\\u007f\"}"
        );
    }

    #[test]
    fn a_parsers_sentence_is_one_line_and_its_picture_several() {
        let message =
            "unknown `a\n     --> b`\n     --> x\\n.wat:1:2\n      |\n    1 | (call $\u{202e})\n      |  ^";
        let shown =
            "unknown `a\\n     --> b`\n     --> x\\n.wat:1:2\n      |\n    1 | (call $\\u{202e})\n      |  ^";
        assert_eq!(OutsideText::of_diagnostic(message), shown);
        assert_eq!(OutsideText::of_diagnostic("a\nb"), r"a\nb");
    }

    #[test]
    fn long_text_is_cut_between_characters_and_escapes() {
        let cut = |text: &str, longest| OutsideText::new(text).cut(longest).to_string();
        assert_eq!(cut("naïve", 5), "naïve");
        assert_eq!(cut("naïve!", 5), "naïv…");
        assert_eq!(cut("a\u{1b}", 6), "a…");
        assert_eq!(cut("a\u{1b}", 7), r"a\u{1b}");
        assert_eq!(cut("\u{1b}\u{1b}b", 12), r"\u{1b}…");
        assert_eq!((cut("abc", 1), cut("a", 1)), ("…".into(), "a".into()));
        assert_eq!(format!("{:>4}", OutsideText::new("abcdef").cut(3)), " ab…");
    }

    #[test]
    fn what_was_printed_prints_as_itself() {
        for length in 15..25 {
            for tail in ["", "é", "🦀", "\n", "…", "\u{1b}\u{1b}", "\u{202e}xx"] {
                let once = OutsideText::new(&("x".repeat(length) + tail)).cut(20).to_string();
                assert!(once.chars().count() <= 20);
                assert_eq!(OutsideText::new(&once).cut(20).to_string(), once);
                assert_eq!(line(&once), once);
            }
        }
    }

    #[test]
    fn letters_and_digits_stay_but_for_fillers() {
        let fillers = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}'];
        for c in '\0'..=char::MAX {
            let stays = OutsideText::prints_as_itself(c);
            assert!(stays || !c.is_alphanumeric() || fillers.contains(&c), "{c:?}");
            assert!(!(stays && c.is_control()), "{c:?}");
        }
    }
}
