//! The configuration file of a cache: the part of TOML that such files use, read strictly.
//!
//! In: text. Out: [`Settings`], or the first line that is wrong and why. Never: a guess what an unknown key or a value of
//! another form means.

use belljar_core::OutsideText;
use std::path::PathBuf;

/// The settings that have an effect.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) directory: Option<PathBuf>,
    pub(super) size_limit: Option<u64>,
}

/// The form of a value.
#[derive(Clone, Copy, Debug)]
enum Form {
    Directory,
    /// A number of bytes, which is the size limit.
    SizeLimit,
    /// A number of things, without effect.
    Count,
    /// A time, without effect.
    Time,
    /// A percentage, without effect.
    Percent,
    /// A level of compression, without effect.
    Level,
}

const KEYS: &[(&str, Form)] = &[
    ("directory", Form::Directory),
    ("files-total-size-soft-limit", Form::SizeLimit),
    ("worker-event-queue-size", Form::Count),
    ("optimized-compression-usage-counter-threshold", Form::Count),
    ("file-count-soft-limit", Form::Count),
    ("cleanup-interval", Form::Time),
    ("optimizing-compression-task-timeout", Form::Time),
    ("allowed-clock-drift-for-files-from-future", Form::Time),
    ("file-count-limit-percent-if-deleting", Form::Percent),
    ("files-total-size-limit-percent-if-deleting", Form::Percent),
    ("baseline-compression-level", Form::Level),
    ("optimized-compression-level", Form::Level),
];

const DECIMAL: &[(&str, u64)] = &[
    ("", 1),
    ("K", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
];

const BINARY: &[(&str, u64)] =
    &[("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1 << 40), ("Pi", 1 << 50)];

const TIMES: &[(&str, u64)] = &[("s", 1), ("m", 60), ("h", 60 * 60), ("d", 24 * 60 * 60)];

/// A value as it is written.
#[derive(Debug)]
enum Value {
    Text(String),
    Number(i64),
}

impl Settings {
    /// Reads the text of a file. An error has the number of the line, from 1 on.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut settings = Self::default();
        let mut in_section = false;
        let mut seen = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            let done = if line.is_empty() || line.starts_with('#') {
                Ok(())
            } else if let Some(name) = line.strip_prefix('[') {
                section(name, &mut in_section)
            } else {
                settings.line(line, in_section, &mut seen)
            };
            done.map_err(|why| (i + 1, why))?;
        }
        match in_section {
            true => Ok(settings),
            false => Err((text.lines().count().max(1), "expected the section [cache]".into())),
        }
    }

    fn line(&mut self, line: &str, in_section: bool, seen: &mut Vec<&'static str>) -> Result<(), String> {
        let (key, value) = line.split_once('=').ok_or("expected `key = value`")?;
        if !in_section {
            return Err("expected the section [cache] first".into());
        }
        let key = key.trim();
        let found = KEYS.iter().find(|(name, _)| *name == key);
        let Some((name, form)) = found else {
            return Err(format!("unknown key `{}`", OutsideText::new(key)));
        };
        if seen.contains(name) {
            return Err(format!("the key `{name}` is given twice"));
        }
        seen.push(name);
        let value = value_of(value.trim())?;
        self.set(*form, &value).ok_or_else(|| format!("expected {} for `{name}`", form.expected()))
    }

    fn set(&mut self, form: Form, value: &Value) -> Option<()> {
        match (form, value) {
            (Form::Directory, Value::Text(text)) => {
                self.directory = Some(PathBuf::from(text)).filter(|path| path.is_absolute());
                self.directory.as_ref()?;
            }
            (Form::SizeLimit, Value::Text(text)) => {
                self.size_limit = number(text, &[DECIMAL, BINARY]);
                self.size_limit?;
            }
            (Form::Count, Value::Text(text)) => drop(number(text, &[DECIMAL])?),
            (Form::Time, Value::Text(text)) => drop(number(text, &[TIMES])?),
            (Form::Percent, Value::Text(text)) => {
                number(text, &[&[("%", 1)]]).filter(|percent| *percent <= 100)?;
            }
            (Form::Level, Value::Number(level)) => {
                (0..=21).contains(level).then_some(())?;
            }
            _ => return None,
        }
        Some(())
    }
}

impl Form {
    fn expected(self) -> &'static str {
        match self {
            Self::Directory => "an absolute path in quotes",
            Self::SizeLimit => "a number of bytes in quotes, such as \"512Mi\"",
            Self::Count => "a number in quotes, such as \"64K\"",
            Self::Time => "a time in quotes, such as \"30m\"",
            Self::Percent => "a percentage in quotes, such as \"70%\"",
            Self::Level => "a number from 0 to 21",
        }
    }
}

fn section(name: &str, in_section: &mut bool) -> Result<(), String> {
    let (name, rest) = name.split_once(']').ok_or("expected `]`")?;
    only_comment(rest)?;
    match name.trim() {
        "cache" if *in_section => Err("the section [cache] is given twice".into()),
        "cache" => {
            *in_section = true;
            Ok(())
        }
        other => Err(format!("unknown section [{}]", OutsideText::new(other))),
    }
}

fn only_comment(rest: &str) -> Result<(), String> {
    match rest.trim_start() {
        "" => Ok(()),
        rest if rest.starts_with('#') => Ok(()),
        _ => Err("expected nothing further in this line".into()),
    }
}

/// Reads a value and checks that nothing but a comment follows.
fn value_of(text: &str) -> Result<Value, String> {
    if let Some(literal) = text.strip_prefix('\'') {
        let (value, rest) = literal.split_once('\'').ok_or("expected a closing quote")?;
        only_comment(rest)?;
        return Ok(Value::Text(value.into()));
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = unescaped(quoted)?;
        only_comment(rest)?;
        return Ok(Value::Text(value));
    }
    let end = text.find([' ', '\t', '#']).unwrap_or(text.len());
    only_comment(&text[end..])?;
    let digits = text[..end].replace('_', "");
    digits.parse().map(Value::Number).map_err(|_| "expected a text in quotes, or a number".into())
}

/// Reads up to the closing quote. Returns the text, and what follows.
fn unescaped(quoted: &str) -> Result<(String, &str), String> {
    let mut text = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok((text, chars.as_str())),
            '\\' => text.push(match chars.next() {
                Some('"') => '"',
                Some('\\') => '\\',
                Some('b') => '\u{8}',
                Some('t') => '\t',
                Some('n') => '\n',
                Some('f') => '\u{c}',
                Some('r') => '\r',
                Some('u') => code_point(&mut chars, 4)?,
                Some('U') => code_point(&mut chars, 8)?,
                _ => return Err("unknown escape sequence".into()),
            }),
            c => text.push(c),
        }
    }
    Err("expected a closing quote".into())
}

fn code_point(chars: &mut std::str::Chars<'_>, digits: usize) -> Result<char, String> {
    let code: String = chars.by_ref().take(digits).collect();
    let is_code = code.len() == digits && code.bytes().all(|digit| digit.is_ascii_hexdigit());
    let code = is_code.then(|| u32::from_str_radix(&code, 16).ok()).flatten();
    code.and_then(char::from_u32).ok_or_else(|| "unknown escape sequence".into())
}

/// Reads a number with a unit of these tables.
fn number(text: &str, units: &[&[(&str, u64)]]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = (text[..end].parse::<u64>().ok()?, text[end..].trim());
    let factor = units.iter().copied().flatten().find(|(name, _)| *name == unit)?.1;
    digits.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Option<String>, Option<u64>), (usize, String)> {
        let Settings { directory, size_limit } = Settings::parse(text)?;
        Ok((directory.map(|path| path.to_str().unwrap().into()), size_limit))
    }

    #[test]
    fn a_whole_file_is_read() {
        let text = r#"
# How to cache.
[cache] # the only section
directory = "/var/cache/\u0061\t\\"   # here
files-total-size-soft-limit = "512Mi"
worker-event-queue-size = "16"
optimized-compression-usage-counter-threshold = "0K"
file-count-soft-limit = "64K"
cleanup-interval = "1 h"
optimizing-compression-task-timeout = '30m'
allowed-clock-drift-for-files-from-future = "1d"
file-count-limit-percent-if-deleting = "70%"
files-total-size-limit-percent-if-deleting = "100%"
baseline-compression-level = 3
optimized-compression-level = 2_0
"#;
        assert_eq!(parse(text), Ok((Some("/var/cache/a\t\\".into()), Some(512 << 20))));
        assert_eq!(parse("[cache]"), Ok((None, None)));
        assert_eq!(parse("[cache]\r\ndirectory='/c:\\d'\r\n"), Ok((Some("/c:\\d".into()), None)));
        for (size, bytes) in
            [("0", 0), ("7K", 7000), ("7Ki", 7 << 10), ("2Gi", 2 << 30), ("1P", 10_u64.pow(15))]
        {
            let text = format!("[cache]\nfiles-total-size-soft-limit = \"{size}\"");
            assert_eq!(parse(&text), Ok((None, Some(bytes))));
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, why) in [
            ("", 1, "expected the section [cache]"),
            ("directory = \"/c\"", 1, "expected the section [cache] first"),
            ("[cash]", 1, "unknown section [cash]"),
            ("[cache]\n[cache]", 2, "the section [cache] is given twice"),
            ("[cache", 1, "expected `]`"),
            ("[cache] x", 1, "expected nothing further in this line"),
            ("[cache]\n\nenabled = true", 3, "unknown key `enabled`"),
            ("[cache]\ndirectory", 2, "expected `key = value`"),
            ("[cache]\ndirectory = \"c\"", 2, "expected an absolute path in quotes for `directory`"),
            ("[cache]\ndirectory = 3", 2, "expected an absolute path in quotes for `directory`"),
            ("[cache]\ndirectory = /c", 2, "expected a text in quotes, or a number"),
            ("[cache]\ndirectory = \"/c", 2, "expected a closing quote"),
            ("[cache]\ndirectory = '/c", 2, "expected a closing quote"),
            ("[cache]\ndirectory = \"/c\\x\"", 2, "unknown escape sequence"),
            ("[cache]\ndirectory = \"/c\\ud800\"", 2, "unknown escape sequence"),
            ("[cache]\ndirectory = \"/c\" \"/d\"", 2, "expected nothing further in this line"),
            ("[cache]\ndirectory = \"/c\"\ndirectory = \"/d\"", 3, "the key `directory` is given twice"),
        ] {
            assert_eq!(parse(text), Err((line, why.into())), "{text}");
        }
        let size =
            "expected a number of bytes in quotes, such as \"512Mi\" for `files-total-size-soft-limit`";
        for value in ["\"\"", "\"1 KB\"", "\"-1\"", "\"99999999Pi\"", "\"1.5Gi\"", "512"] {
            let text = format!("[cache]\nfiles-total-size-soft-limit = {value}");
            assert_eq!(parse(&text), Err((2, size.into())), "{value}");
        }
        for (key, value) in [
            ("cleanup-interval", "\"1\""),
            ("cleanup-interval", "\"1w\""),
            ("file-count-soft-limit", "\"1Ki\""),
            ("file-count-limit-percent-if-deleting", "\"101%\""),
            ("file-count-limit-percent-if-deleting", "\"70\""),
            ("baseline-compression-level", "22"),
            ("baseline-compression-level", "\"3\""),
        ] {
            let (line, why) = parse(&format!("[cache]\n{key} = {value}")).unwrap_err();
            assert!(line == 2 && why.ends_with(&format!("for `{key}`")), "{why}");
        }
    }
}
