use crate::Result;
#[cfg(feature = "wat")]
pub(crate) use crate::text_position::locate_in_text;
use belljar_core::OutsideText;
use std::borrow::Cow;
use std::path::Path;

/// Converts a module's text to a binary; returns anything else as it is. `path`: the file that errors name.
///
/// # Errors
///
/// Returns an error if the text is malformed, or belljar was built without the feature `wat`.
#[doc(hidden)]
pub fn to_binary<'a>(bytes: &'a [u8], path: Option<&Path>) -> Result<Cow<'a, [u8]>> {
    // All binaries start with a zero byte, and no text does. Validation reports what is neither.
    let is_text = !bytes.starts_with(b"\0") && !bytes.is_empty();
    match is_text.then(|| std::str::from_utf8(bytes).ok()).flatten() {
        Some(text) => parse(text, path).map(Cow::from),
        None => Ok(bytes.into()),
    }
}

#[cfg(feature = "wat")]
fn parse(text: &str, path: Option<&Path>) -> Result<Vec<u8>> {
    wat::parse_str(text).map_err(|mut error| {
        if let Some(path) = path {
            error.set_path(OutsideText::new(path).to_string());
        }
        // The error quotes the text.
        crate::Error::msg(OutsideText::of_diagnostic(&error.to_string()))
    })
}

#[cfg(not(feature = "wat"))]
fn parse(_: &str, path: Option<&Path>) -> Result<Vec<u8>> {
    let name = path.map_or_else(|| "the module".into(), |path| OutsideText::new(path).to_string());
    belljar_core::bail!(
        "{name} is not a wasm binary, and this build of belljar cannot read the text format: enable its feature `wat`"
    )
}

/// Without the text format, no error is about a text.
#[cfg(not(feature = "wat"))]
pub(crate) fn locate_in_text(error: crate::Error, _: &[u8], _: Option<&Path>) -> crate::Error {
    error
}
