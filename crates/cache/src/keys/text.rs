//! Public keys, and keys as text.
//!
//! ```text
//! belljar-signing-key v1 <64 digits>
//! belljar-public-key v1 <64 digits> <name, to the end of the line, may be missing>
//! ```

use std::fmt;
use std::str::FromStr;

use belljar_core::OutsideText;
use ed25519_dalek::{Signature, VerifyingKey};

use crate::error::KeyTextError;
use crate::hex;

/// A form of text that holds 32 bytes.
struct Form {
    kind: &'static str,
    shown: &'static str,
}

const VERSION: &str = "v1";
const SIGNING: Form =
    Form { kind: "belljar-signing-key", shown: "belljar-signing-key v1 <64 hexadecimal digits>" };
const PUBLIC: Form =
    Form { kind: "belljar-public-key", shown: "belljar-public-key v1 <64 hexadecimal digits> <name>" };

impl Form {
    /// The bytes in `text`, and what follows them.
    fn parse<'a>(&self, text: &'a str) -> Result<([u8; 32], &'a str), KeyTextError> {
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

    fn print(&self, bytes: &[u8; 32]) -> String {
        format!("{} {VERSION} {}", self.kind, hex::encode(bytes))
    }
}

/// The text up to the first white space, and what follows that.
fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.find(char::is_whitespace) {
        Some(end) => (&text[..end], text[end..].trim_start()),
        None => (text, ""),
    }
}

/// The seed in the text of a signing key.
pub(super) fn parse_seed(text: &str) -> Result<[u8; 32], KeyTextError> {
    let (seed, rest) = SIGNING.parse(text)?;
    if rest.is_empty() { Ok(seed) } else { Err(KeyTextError::Name) }
}

/// The text of a signing key.
pub(super) fn print_seed(seed: &[u8; 32]) -> String {
    SIGNING.print(seed)
}

/// The public half of a [`SigningKey`](crate::SigningKey): who has it can tell what the other half signed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key with these bytes, encoded as RFC 8032 says.
    ///
    /// # Errors
    /// [`KeyTextError::NotAPoint`] if there is no such key, or if it is one of the few for which signatures
    /// prove nothing.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<PublicKey, KeyTextError> {
        match VerifyingKey::from_bytes(&bytes) {
            Ok(key) if !key.is_weak() => Ok(PublicKey(bytes)),
            _ => Err(KeyTextError::NotAPoint),
        }
    }

    /// The public half of a signing key, which is never one of those that [`PublicKey::from_bytes`] refuses.
    pub(super) fn of_signer(bytes: [u8; 32]) -> PublicKey {
        PublicKey(bytes)
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What people compare keys by.
    pub fn fingerprint(&self) -> Fingerprint {
        let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(&self.0).as_bytes();
        Fingerprint([a, b, c, d, e, f, g, h])
    }

    /// The key with a name that tells people whose it is.
    ///
    /// # Errors
    /// As [`NamedKey::new`].
    pub fn named(self, name: &str) -> Result<NamedKey, KeyTextError> {
        NamedKey::new(self, name)
    }

    /// Whether `signature` is by this key and of `message`.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(&self.0))
    }
}

/// The first 8 bytes of a public key's BLAKE3, printed as 16 digits.
///
/// This is for people. Whether a key is trusted is decided by all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint([u8; 8]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// A public key and the name that it goes by. Its text is the line of a `.pub` file and of the list of
/// trusted keys.
///
/// ```
/// use belljar_cache::{KeyTextError, NamedKey, SigningKey};
///
/// let key = SigningKey::generate()?.public().named("ada, at work")?;
/// let line = key.to_string();
/// assert!(line.starts_with("belljar-public-key v1 ") && line.ends_with(" ada, at work"));
/// assert_eq!(line.parse(), Ok(key));
/// assert!(matches!("ssh-ed25519 AAAA".parse::<NamedKey>(), Err(KeyTextError::NotAKey { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedKey {
    key: PublicKey,
    name: String,
}

impl NamedKey {
    /// A key with a name. Space around the name is dropped; it may be empty.
    ///
    /// # Errors
    /// [`KeyTextError::Name`] if the name has characters without a glyph, such as the end of a line: see [`OutsideText`].
    pub fn new(key: PublicKey, name: &str) -> Result<NamedKey, KeyTextError> {
        let name = name.trim();
        // Names are printed on terminals, and written to lists of one line each.
        if !name.chars().all(OutsideText::prints_as_itself) {
            return Err(KeyTextError::Name);
        }
        Ok(NamedKey { key, name: name.to_string() })
    }

    /// The key.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// The name; nobody vouches for it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&PUBLIC.print(&self.key.0))?;
        if self.name.is_empty() { Ok(()) } else { write!(f, " {}", self.name) }
    }
}

impl FromStr for NamedKey {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (bytes, name) = PUBLIC.parse(text)?;
        NamedKey::new(PublicKey::from_bytes(bytes)?, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::HexError;

    /// The first test vector of RFC 8032, section 7.1: its public key.
    const RFC_PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn parse(text: &str) -> Result<NamedKey, KeyTextError> {
        text.parse()
    }

    #[test]
    fn a_line_is_read_however_it_is_spaced_and_ended() {
        let named = parse(&format!("belljar-public-key v1 {RFC_PUBLIC} ada lovelace")).unwrap();
        assert_eq!(
            (hex::encode(named.key().as_bytes()).as_str(), named.name()),
            (RFC_PUBLIC, "ada lovelace")
        );
        assert_eq!(parse(&format!("  belljar-public-key\tv1  {RFC_PUBLIC}  ada lovelace \r\n")), Ok(named));
        let bare = parse(&format!("belljar-public-key v1 {RFC_PUBLIC}\n")).unwrap();
        assert_eq!(bare.name(), "");
        assert_eq!(parse(&bare.to_string()), Ok(bare));
    }

    #[test]
    fn what_is_no_public_key_is_told_apart() {
        assert!(matches!(parse(""), Err(KeyTextError::NotAKey { .. })));
        assert!(matches!(parse(RFC_PUBLIC), Err(KeyTextError::NotAKey { .. })));
        assert_eq!(parse(&format!("belljar-signing-key v1 {RFC_PUBLIC}")), Err(KeyTextError::Secret));
        assert_eq!(parse_seed(&format!("belljar-public-key v1 {RFC_PUBLIC} ada")), Err(KeyTextError::Public));
        assert_eq!(parse_seed(&format!("belljar-signing-key v1 {RFC_PUBLIC} ada")), Err(KeyTextError::Name));
        assert!(matches!(
            parse(&format!("belljar-public-key v2 {RFC_PUBLIC}")),
            Err(KeyTextError::UnknownVersion { .. })
        ));
        assert_eq!(
            parse("belljar-public-key v1 d75a"),
            Err(KeyTextError::Hex(HexError::Length { expected: 64, found: 4 }))
        );
        assert_eq!(parse(&format!("belljar-public-key v1 {RFC_PUBLIC} ada\nmore")), Err(KeyTextError::Name));
        assert_eq!(parse(&format!("belljar-public-key v1 {RFC_PUBLIC} \x1b[31m")), Err(KeyTextError::Name));
    }

    #[test]
    fn keys_that_prove_nothing_are_refused() {
        // The neutral element, a point of order four, and no point at all (RFC 8032, section 5.1.3).
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut no_point = [0; 32];
        no_point[0] = 2;
        for bytes in [neutral, [0; 32], no_point] {
            assert_eq!(PublicKey::from_bytes(bytes), Err(KeyTextError::NotAPoint));
        }
    }
}
