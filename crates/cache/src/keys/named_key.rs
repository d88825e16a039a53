//! Public keys with names, as in `.pub` files and the list of trusted keys.

use super::key_error::{KeyError, io_error, malformed};
use super::key_file::{open, read_text};
use super::key_text_error::KeyTextError;
use super::public_key::PublicKey;
use super::text::PUBLIC;
use belljar_core::OutsideText;
use rustix::fs::OFlags;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A public key with a name. Its text form is a line of a `.pub` file and of the list of trusted keys.
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
    /// Creates a key with a name. White space around the name is removed; the name may be empty.
    ///
    /// # Errors
    /// Returns [`KeyTextError::Name`] if the name has unprintable characters, such as a line end: see [`OutsideText`].
    pub fn new(key: PublicKey, name: &str) -> Result<NamedKey, KeyTextError> {
        let name = name.trim();
        // Names are printed on terminals, and stored one per line.
        if !name.chars().all(OutsideText::prints_as_itself) {
            return Err(KeyTextError::Name);
        }
        Ok(NamedKey { key, name: name.to_string() })
    }

    /// Reads a public file, `NAME.pub`.
    ///
    /// # Errors
    /// Returns [`KeyError::Malformed`] if it holds no public key, and [`KeyError::Io`] if it cannot be read.
    pub fn read(path: &Path) -> Result<NamedKey, KeyError> {
        let file = open(path, OFlags::empty()).map_err(io_error("open", path))?;
        let text = read_text(file).map_err(io_error("read", path))?;
        text.parse().map_err(malformed(path, None))
    }

    /// Returns the key.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// Returns the name. The name is not authenticated.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&PUBLIC.print(self.key.as_bytes()))?;
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

impl PublicKey {
    /// Adds a name that tells people whose key this is.
    ///
    /// # Errors
    /// Returns the errors of [`NamedKey::new`].
    pub fn named(self, name: &str) -> Result<NamedKey, KeyTextError> {
        NamedKey::new(self, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;
    use crate::hex::HexError;
    use crate::keys::text;

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
        assert_eq!(
            text::parse_seed(&format!("belljar-public-key v1 {RFC_PUBLIC} ada")),
            Err(KeyTextError::Public)
        );
        assert_eq!(
            text::parse_seed(&format!("belljar-signing-key v1 {RFC_PUBLIC} ada")),
            Err(KeyTextError::Name)
        );
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
}
