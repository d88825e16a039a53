//! `--env`: an environment variable of the guest.

use belljar::OutsideText;
use std::str::FromStr;

/// `NAME=VALUE`, or `NAME` alone for the value in belljar's own environment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct EnvVar {
    /// The name.
    pub(crate) name: String,
    /// The value.
    pub(crate) value: String,
}

impl FromStr for EnvVar {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, value.to_string()),
            None => match std::env::var(text) {
                Ok(value) => (text, value),
                Err(_) => {
                    let text = OutsideText::new(text);
                    return Err(format!(
                        "there is no environment variable `{text}` to pass on: set it, or give a value as `{text}=…`"
                    ));
                }
            },
        };
        if name.is_empty() {
            return Err(format!("expected NAME=VALUE or NAME, found `{}`", OutsideText::new(text)));
        }
        Ok(Self { name: name.into(), value })
    }
}
