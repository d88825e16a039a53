//! The text forms of keys.
//!
//! ```text
//! belljar-signing-key v1 <64 digits>
//! belljar-public-key v1 <64 digits> <name, to the end of the line, may be missing>
//! ```

use super::key_text_error::KeyTextError;
use crate::hex;

/// A text form that holds 32 bytes.
pub(super) struct KeyFormat {
    kind: &'static str,
    shown: &'static str,
}

const VERSION: &str = "v1";
const SIGNING: KeyFormat =
    KeyFormat { kind: "belljar-signing-key", shown: "belljar-signing-key v1 <64 hexadecimal digits>" };
pub(super) const PUBLIC: KeyFormat =
    KeyFormat { kind: "belljar-public-key", shown: "belljar-public-key v1 <64 hexadecimal digits> <name>" };

impl KeyFormat {
    /// Parses `text`. Returns the bytes, and the text that follows them.
    pub(super) fn parse<'a>(&self, text: &'a str) -> Result<([u8; 32], &'a str), KeyTextError> {
        let (kind, rest) = first_word(text);
        if kind != self.kind {
            return Err(match kind {
                _ if kind == SIGNING.kind => KeyTextError::Secret,
                _ if kind == PUBLIC.kind => KeyTextError::Public,
                _ => KeyTextError::NotAKey { form: self.shown },
            });
        }
        let (version, rest) = first_word(rest);
        if version.is_empty() {
            return Err(KeyTextError::NotAKey { form: self.shown });
        }
        if version != VERSION {
            return Err(KeyTextError::UnknownVersion { form: self.shown });
        }
        let (digits, rest) = first_word(rest);
        Ok((hex::decode(digits)?, rest))
    }

    pub(super) fn print(&self, bytes: &[u8; 32]) -> String {
        format!("{} {VERSION} {}", self.kind, hex::encode(bytes))
    }
}

/// Splits off the text up to the first white space.
fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.find(char::is_whitespace) {
        Some(end) => (&text[..end], text[end..].trim_start()),
        None => (text, ""),
    }
}

/// Parses the text of a signing key. Returns its seed.
pub(super) fn parse_seed(text: &str) -> Result<[u8; 32], KeyTextError> {
    let (seed, rest) = SIGNING.parse(text)?;
    if rest.is_empty() { Ok(seed) } else { Err(KeyTextError::Name) }
}

/// Returns the text of a signing key.
pub(super) fn print_seed(seed: &[u8; 32]) -> String {
    SIGNING.print(seed)
}
