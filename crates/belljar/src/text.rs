use crate::Result;
use belljar_core::OutsideText;
use std::borrow::Cow;
use std::path::Path;

/// Converts a module's text to a binary; returns anything else as it is. `path`: the file that errors name. `lines`: adds line
/// information for backtraces.
///
/// # Errors
///
/// Returns an error if the text is malformed.
#[doc(hidden)]
pub fn to_binary<'a>(bytes: &'a [u8], path: Option<&Path>, lines: bool) -> Result<Cow<'a, [u8]>> {
    // All binaries start with a zero byte, and no text does. Validation reports what is neither.
    let is_text = !bytes.starts_with(b"\0") && !bytes.is_empty();
    let Some(text) = is_text.then(|| std::str::from_utf8(bytes).ok()).flatten() else {
        return Ok(bytes.into());
    };
    if lines {
        let mut parser = wat::Parser::new();
        parser.generate_dwarf(wat::GenerateDwarf::Lines);
        if let Ok(binary) = parser.parse_str(path, text) {
            return Ok(binary.into());
        }
        // An error of this parser holds the path as it is. The one below can be given an escaped path.
    }
    wat::parse_str(text).map(Cow::from).map_err(|mut error| {
        if let Some(path) = path {
            error.set_path(OutsideText::new(path).to_string());
        }
        // The error quotes the text.
        crate::Error::msg(OutsideText::of_diagnostic(&error.to_string()))
    })
}
