//! `--invoke`: parses arguments from the command line to values, and prints results.

use belljar::{Counted, FuncType, OutsideText, RefType, V128, Val, ValType};
use wast::lexer::{Lexer, TokenKind};
use wast::parser::{Parse, ParseBuffer};
use wast::token::{F32, F64};

/// Parses the arguments of a call by the types of its parameters.
///
/// # Errors
///
/// Returns a sentence that names the argument that does not fit.
pub(super) fn parse_all(name: &str, ty: &FuncType, texts: &[String]) -> Result<Vec<Val>, String> {
    let name = OutsideText::new(name);
    if ty.params().len() != texts.len() {
        return Err(format!(
            "`{name}` has type {ty}: expected {} after FILE, found {}",
            count(ty.params().len()),
            texts.len()
        ));
    }
    let values = ty.params().zip(texts).enumerate().map(|(i, (ty, text))| {
        parse(&ty, text).ok_or_else(|| {
            let expected = too_large(&ty, text).unwrap_or(expected(&ty));
            let text = OutsideText::new(text);
            format!("argument {} of `{name}` has type {ty}: expected {expected}, found `{text}`", i + 1)
        })
    });
    values.collect()
}

fn count(arguments: usize) -> String {
    match arguments {
        0 => "no arguments".into(),
        n => Counted::of(n, "argument").to_string(),
    }
}

fn parse(ty: &ValType, text: &str) -> Option<Val> {
    Some(match ty {
        ValType::I32 => Val::I32(token(text)?),
        ValType::I64 => Val::I64(token(text)?),
        ValType::F32 => Val::F32(token::<F32>(text)?.bits),
        ValType::F64 => Val::F64(token::<F64>(text)?.bits),
        ValType::V128 => Val::V128(V128::from(vector(text)?)),
        ValType::Ref(_) if text == "null" => Val::default_for_ty(ty)?,
        ValType::Ref(_) => return None,
    })
}

/// Parses a number as in the text format: decimal, hexadecimal, signed, with `_` between digits.
fn token<T: for<'a> Parse<'a>>(text: &str) -> Option<T> {
    let buffer = ParseBuffer::new(text).ok()?;
    wast::parser::parse::<T>(&buffer).ok()
}

/// Returns what to expect instead of a float that is well-formed but not representable in its type.
fn too_large(ty: &ValType, text: &str) -> Option<&'static str> {
    if !matches!(ty, ValType::F32 | ValType::F64) {
        return None;
    }
    if !matches!(one_token(text)?, TokenKind::Float(_) | TokenKind::Integer(_)) {
        return None;
    }
    let is_nan = text.contains("nan");
    Some(match (ty, is_nan) {
        (ValType::F32, false) => "a number that f32 can hold, up to 3.4028235e38: this one is too large",
        (_, false) => "a number that f64 can hold, up to 1.7976931348623157e308: this one is too large",
        (ValType::F32, true) => "a NaN of f32, whose payload is from 0x1 to 0x7fffff",
        (_, true) => "a NaN of f64, whose payload is from 0x1 to 0xfffffffffffff",
    })
}

/// Returns the kind of the token if the text is a single token.
fn one_token(text: &str) -> Option<TokenKind> {
    let (lexer, mut position) = (Lexer::new(text), 0);
    let token = lexer.parse(&mut position).ok()??;
    (position == text.len()).then_some(token.kind)
}

fn vector(text: &str) -> Option<u128> {
    let digits = text.strip_prefix("0x")?.replace('_', "");
    // `from_str_radix` would accept a sign.
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u128::from_str_radix(&digits, 16).ok())?
}

fn expected(ty: &ValType) -> &'static str {
    match ty {
        ValType::I32 => "an integer from -2147483648 to 4294967295, decimal or 0x…",
        ValType::I64 => "an integer from -9223372036854775808 to 18446744073709551615, decimal or 0x…",
        ValType::F32 | ValType::F64 => "a number such as 1.5, -2e10, 0x1.8p3, inf or nan",
        ValType::V128 => "0x and up to 32 hexadecimal digits, lane 0 in the last ones",
        ValType::Ref(_) => "`null`, since no other reference can be written on a command line",
    }
}

/// Prints a result in the form in which it could be given as an argument.
pub(super) fn show(value: &Val) -> String {
    match value {
        Val::I32(v) => v.to_string(),
        Val::I64(v) => v.to_string(),
        Val::F32(v) => match f32::from_bits(*v) {
            value if value.is_nan() => nan((*v).into(), 32, f32::MANTISSA_DIGITS),
            value => value.to_string(),
        },
        Val::F64(v) => match f64::from_bits(*v) {
            value if value.is_nan() => nan(*v, 64, f64::MANTISSA_DIGITS),
            value => value.to_string(),
        },
        Val::V128(v) => format!("{:#034x}", v.as_u128()),
        value if value.ref_().is_some_and(|r| r.is_null()) => "null".into(),
        Val::FuncRef(Some(_)) => RefType::FUNCREF.to_string(),
        Val::ExternRef(Some(_)) => RefType::EXTERNREF.to_string(),
        Val::AnyRef(Some(_)) => RefType::ANYREF.to_string(),
        Val::ExnRef(Some(_)) => RefType::EXNREF.to_string(),
        other => format!("{other:?}"),
    }
}

/// Prints a NaN as in the text format: with its sign, and with its payload unless that is the canonical one. `digits`
/// is the number of digits of the mantissa, including the implicit one.
fn nan(bits: u64, width: u32, digits: u32) -> String {
    let stored = digits - 1;
    let (payload, canonical) = (bits & ((1 << stored) - 1), 1 << (stored - 1));
    let sign = if bits >> (width - 1) == 0 { "" } else { "-" };
    match payload == canonical {
        true => format!("{sign}nan"),
        false => format!("{sign}nan:{payload:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(ty: ValType, text: &str) -> Option<String> {
        parse(&ty, text).map(|v| show(&v))
    }

    #[test]
    fn integers_cover_both_ranges() {
        assert_eq!(round_trip(ValType::I32, "4294967295").as_deref(), Some("-1"));
        assert_eq!(round_trip(ValType::I32, "-0x80000000").as_deref(), Some("-2147483648"));
        assert_eq!(round_trip(ValType::I32, "4294967296"), None);
        assert_eq!(round_trip(ValType::I64, "0xffff_ffff_ffff_ffff").as_deref(), Some("-1"));
        for bad in ["", "1.5", "0x", "one", "1 2", "--1"] {
            assert_eq!(round_trip(ValType::I32, bad), None, "{bad}");
        }
    }

    #[test]
    fn floats_are_decimal_hexadecimal_and_special() {
        assert_eq!(round_trip(ValType::F64, "-1.5e3").as_deref(), Some("-1500"));
        assert_eq!(round_trip(ValType::F32, "0x1.8p1").as_deref(), Some("3"));
        assert_eq!(round_trip(ValType::F64, "7").as_deref(), Some("7"));
        assert_eq!(round_trip(ValType::F32, "-inf").as_deref(), Some("-inf"));
        assert_eq!(round_trip(ValType::F64, "nan").as_deref(), Some("nan"));
        assert_eq!(round_trip(ValType::F64, "abc"), None);
    }

    #[test]
    fn nans_keep_sign_and_payload() {
        let f32s = ["nan", "-nan", "nan:0x1", "-nan:0x7fffff", "nan:0x200000", "-nan:0x400001"];
        for text in f32s {
            assert_eq!(round_trip(ValType::F32, text).as_deref(), Some(text));
        }
        for text in ["nan", "-nan", "nan:0x1", "-nan:0xfffffffffffff", "nan:0x4000000000000"] {
            assert_eq!(round_trip(ValType::F64, text).as_deref(), Some(text));
        }
        assert_eq!(show(&Val::F32(0x7fc0_0000)), "nan");
        assert_eq!(show(&Val::F32(0xff80_0001)), "-nan:0x1");
        assert_eq!(show(&Val::F64(0xfff8_0000_0000_0000)), "-nan");
        assert_eq!(show(&Val::F64(0x7ff0_0000_0000_00ff)), "nan:0xff");
        assert_eq!((show(&Val::F32(0x7f80_0000)), show(&Val::F64(1 << 63))), ("inf".into(), "-0".into()));
    }

    #[test]
    fn a_float_that_is_too_large_is_told_apart_from_what_is_none() {
        let message = |ty, text: &str| {
            let params = FuncType::new(&belljar::Engine::default(), [ty], []);
            parse_all("f", &params, &[text.into()]).unwrap_err()
        };
        for text in ["1e39", "-1e39", "340282356779733661637539395458142568448", "0x1p128", "1_0e38"] {
            let message = message(ValType::F32, text);
            assert!(message.contains("up to 3.4028235e38: this one is too large, found"), "{message}");
        }
        assert!(message(ValType::F64, "1e309").contains("this one is too large"));
        assert!(message(ValType::F32, "nan:0x800000").contains("payload is from 0x1 to 0x7fffff"));
        assert!(message(ValType::F64, "nan:0x0").contains("payload is from 0x1 to 0xfffffffffffff"));
        for text in ["1e", "one", "1 2", "", "1e39 ", "(1)", "0x"] {
            let message = message(ValType::F32, text);
            assert!(message.contains("expected a number such as 1.5"), "{message}");
        }
        assert_eq!(
            round_trip(ValType::F32, "3.4028235e38").as_deref(),
            Some("340282350000000000000000000000000000000")
        );
        assert!(message(ValType::I32, "1e39").contains("expected an integer"));
    }

    #[test]
    fn vectors_are_hexadecimal() {
        let text = "0x00000000000000000000000000abcdef";
        assert_eq!(round_trip(ValType::V128, "0xabcdef").as_deref(), Some(text));
        for bad in ["abc", "0x", "0x+1", "0x1ffffffffffffffffffffffffffffffff"] {
            assert_eq!(round_trip(ValType::V128, bad), None, "{bad}");
        }
    }

    #[test]
    fn references_are_null() {
        assert_eq!(round_trip(ValType::FUNCREF, "null").as_deref(), Some("null"));
        assert_eq!(round_trip(ValType::EXTERNREF, "5"), None);
    }
}
