//! Text from one encoding to another, in pieces.
//!
//! In: text that was checked, of which a piece may end within a character. Out: as much of it as fits. Never: an access beyond a slice, whatever the text is.

use super::runtime::Transcode;

/// What [`Transcode::piece`] has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Piece {
    /// The bytes that were read.
    pub read: usize,
    /// The bytes that were written.
    pub written: usize,
    /// Whether what follows cannot be encoded.
    pub is_end: bool,
}

/// The largest number of bytes of a character in any encoding.
const CHARACTER: usize = 4;

impl Transcode {
    /// Returns the bytes of a unit of the source, and of one of what is written.
    pub fn unit_bytes(self) -> (usize, usize) {
        match self {
            Self::Latin1ToAscii | Self::Latin1ToUtf8 | Self::Utf8ToLatin1 => (1, 1),
            Self::Utf16ToAscii | Self::Utf16ToUtf8 | Self::Utf16ToLatin1 => (2, 1),
            Self::Latin1ToUtf16 | Self::Utf8ToUtf16 => (1, 2),
        }
    }

    /// Transcodes as much of `from` as is complete and certainly fits into `to`.
    pub fn piece(self, from: &[u8], to: &mut [u8]) -> Piece {
        let mut done = Piece::default();
        while to.len() - done.written >= CHARACTER {
            let (rest, place) = (&from[done.read..], &mut to[done.written..]);
            // Most text is ASCII.
            let (read, written) = match self {
                Self::Latin1ToAscii | Self::Latin1ToUtf8 | Self::Utf8ToLatin1 => copy_ascii(rest, place),
                Self::Latin1ToUtf16 | Self::Utf8ToUtf16 => widen_ascii(rest, place),
                Self::Utf16ToAscii | Self::Utf16ToUtf8 | Self::Utf16ToLatin1 => narrow_ascii(rest, place),
            };
            if read > 0 {
                done.read += read;
                done.written += written;
                continue;
            }
            let Some((char, read)) = self.decode(rest) else { break };
            let Some(written) = self.encode(char, place) else {
                done.is_end = true;
                break;
            };
            done.read += read;
            done.written += written;
        }
        done
    }

    /// Returns the first character with its bytes, if all of it is there.
    fn decode(self, from: &[u8]) -> Option<(char, usize)> {
        match self {
            Self::Latin1ToAscii | Self::Latin1ToUtf8 | Self::Latin1ToUtf16 => {
                from.first().map(|byte| (char::from(*byte), 1))
            }
            Self::Utf8ToUtf16 | Self::Utf8ToLatin1 => {
                let from = &from[..from.len().min(CHARACTER)];
                let valid = match std::str::from_utf8(from) {
                    Ok(text) => text,
                    Err(error) => std::str::from_utf8(&from[..error.valid_up_to()]).unwrap_or_default(),
                };
                valid.chars().next().map(|char| (char, char.len_utf8()))
            }
            Self::Utf16ToAscii | Self::Utf16ToUtf8 | Self::Utf16ToLatin1 => {
                let (units, _) = from[..from.len().min(CHARACTER)].as_chunks();
                let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
                let char = char::decode_utf16(units).next()?.ok()?;
                Some((char, 2 * char.len_utf16()))
            }
        }
    }

    /// Writes a character. Returns its bytes; `None` if it cannot be encoded.
    fn encode(self, char: char, to: &mut [u8]) -> Option<usize> {
        match self {
            Self::Latin1ToAscii | Self::Utf16ToAscii => None,
            Self::Utf8ToLatin1 | Self::Utf16ToLatin1 => {
                to[0] = u8::try_from(u32::from(char)).ok()?;
                Some(1)
            }
            Self::Latin1ToUtf8 | Self::Utf16ToUtf8 => Some(char.encode_utf8(to).len()),
            Self::Latin1ToUtf16 | Self::Utf8ToUtf16 => {
                let mut units = [0; 2];
                let units = char.encode_utf16(&mut units);
                for (place, unit) in to.as_chunks_mut().0.iter_mut().zip(&*units) {
                    *place = unit.to_le_bytes();
                }
                Some(2 * units.len())
            }
        }
    }
}

/// The number of characters that are looked at together.
const BLOCK: usize = 16;

fn copy_ascii(from: &[u8], to: &mut [u8]) -> (usize, usize) {
    let mut count = 0;
    for (from, to) in from.as_chunks::<BLOCK>().0.iter().zip(to.as_chunks_mut::<BLOCK>().0) {
        if !from.is_ascii() {
            break;
        }
        *to = *from;
        count += BLOCK;
    }
    let rest = from[count..].iter().zip(&mut to[count..]).take(BLOCK);
    for (from, to) in rest.take_while(|(from, _)| from.is_ascii()) {
        *to = *from;
        count += 1;
    }
    (count, count)
}

fn widen_ascii(from: &[u8], to: &mut [u8]) -> (usize, usize) {
    let (to, _) = to.as_chunks_mut::<2>();
    let mut count = 0;
    for (from, to) in from.as_chunks::<BLOCK>().0.iter().zip(to.as_chunks_mut::<BLOCK>().0) {
        if !from.is_ascii() {
            break;
        }
        to.iter_mut().zip(from).for_each(|(to, from)| *to = [*from, 0]);
        count += BLOCK;
    }
    let rest = from[count..].iter().zip(&mut to[count..]).take(BLOCK);
    for (from, to) in rest.take_while(|(from, _)| from.is_ascii()) {
        *to = [*from, 0];
        count += 1;
    }
    (count, 2 * count)
}

fn narrow_ascii(from: &[u8], to: &mut [u8]) -> (usize, usize) {
    let (from, _) = from.as_chunks::<2>();
    let mut count = 0;
    for (from, to) in from.as_chunks::<BLOCK>().0.iter().zip(to.as_chunks_mut::<BLOCK>().0) {
        if from.iter().fold(0, |all, unit| all | u16::from_le_bytes(*unit)) >= 0x80 {
            break;
        }
        to.iter_mut().zip(from).for_each(|(to, from)| *to = from[0]);
        count += BLOCK;
    }
    let rest = from[count..].iter().zip(&mut to[count..]).take(BLOCK);
    for (from, to) in rest.take_while(|(from, _)| u16::from_le_bytes(**from) < 0x80) {
        *to = from[0];
        count += 1;
    }
    (2 * count, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Transcodes all of a text in pieces of at most `size` bytes.
    fn all(how: Transcode, from: &[u8], size: usize) -> (Vec<u8>, usize, bool) {
        let (mut out, mut at) = (Vec::new(), 0);
        loop {
            let mut buffer = vec![0; size];
            let end = from.len().min(at + size);
            let piece = how.piece(&from[at..end], &mut buffer);
            out.extend(&buffer[..piece.written]);
            at += piece.read;
            if piece.is_end || at == from.len() || piece.read == 0 {
                return (out, at, piece.is_end);
            }
        }
    }

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn text_survives_in_pieces_of_any_size() {
        let long = "plain text that is longer than a block, ".repeat(3);
        for text in
            ["", "a", "plain", "Grüße ÿ", "東京 😀 a", &*long, &format!("{long}ü{long}東{long}😀{long}")]
        {
            let latin1: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
            for size in [4, 5, 7, 64, 1000] {
                let utf8 = text.as_bytes();
                assert_eq!(
                    all(Transcode::Utf8ToUtf16, utf8, size),
                    (utf16(text), utf8.len(), false),
                    "{text}"
                );
                let from16 = utf16(text);
                assert_eq!(all(Transcode::Utf16ToUtf8, &from16, size), (utf8.to_vec(), from16.len(), false));
                let plain: Vec<u8> = text.bytes().take_while(u8::is_ascii).collect();
                let is_ascii = text.is_ascii();
                let read = 2 * plain.len();
                assert_eq!(all(Transcode::Utf16ToAscii, &from16, size), (plain.clone(), read, !is_ascii));
                let known = text.chars().map_while(|c| u8::try_from(u32::from(c)).ok()).collect::<Vec<_>>();
                let read: usize = text.chars().take(known.len()).map(char::len_utf8).sum();
                assert_eq!(all(Transcode::Utf8ToLatin1, utf8, size), (known.clone(), read, latin1.is_none()));
                let read = 2 * known.len();
                assert_eq!(all(Transcode::Utf16ToLatin1, &from16, size), (known, read, latin1.is_none()));
                let Some(latin1) = &latin1 else { continue };
                let length = latin1.len();
                assert_eq!(all(Transcode::Latin1ToUtf8, latin1, size), (utf8.to_vec(), length, false));
                assert_eq!(all(Transcode::Latin1ToUtf16, latin1, size), (utf16(text), length, false));
                let read = plain.len();
                assert_eq!(all(Transcode::Latin1ToAscii, latin1, size), (plain, read, !is_ascii));
            }
        }
    }

    #[test]
    fn what_is_no_text_ends() {
        assert_eq!(all(Transcode::Utf8ToUtf16, b"ab\xff", 8), (utf16("ab"), 2, false));
        assert_eq!(all(Transcode::Utf16ToUtf8, b"a\0\x00\xd8b\0", 8), (b"a".to_vec(), 2, false));
        assert_eq!(all(Transcode::Utf16ToUtf8, b"a\0\x00", 8), (b"a".to_vec(), 2, false));
    }
}
