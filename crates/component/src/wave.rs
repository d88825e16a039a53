//! Values as text, in WAVE: `{name: "a", size: some(3)}`.
//!
//! WAVE is the component model's own text for values; the crate `wasm-wave` reads and writes it.

use crate::types::{FuncType, Type};
use crate::val::Val;
use belljar_core::{OutsideText, Result, ensure, format_err};
use std::borrow::Cow;
use wasm_wave::untyped::UntypedFuncCall;
use wasm_wave::wasm::{WasmType, WasmTypeKind, WasmValue, WasmValueError};

/// How deeply brackets may be nested in a text: it is parsed recursively.
const DEPTH: usize = 100;

/// Checks that a text is not nested so deeply that reading it needs too much stack. Brackets in strings count too.
fn check_depth(text: &str) -> Result<()> {
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        ensure!(depth <= DEPTH, "the text is nested more than {DEPTH} deep");
    }
    Ok(())
}

impl<H: Clone + 'static> Val<H> {
    /// Reads a value of a type from its text in WAVE.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is invalid, or no value of the type: resources have no text.
    pub fn from_wave(ty: &Type, text: &str) -> Result<Self> {
        check_depth(text)?;
        wasm_wave::from_str(ty, text).map_err(|error| {
            format_err!(
                "`{}` is no {ty} in WAVE: {}",
                OutsideText::new(text),
                OutsideText::new(&error.to_string())
            )
        })
    }

    /// Returns the value's text in WAVE.
    ///
    /// # Errors
    ///
    /// Returns an error if a part of it is a resource, which has no text.
    pub fn to_wave(&self) -> Result<String> {
        wasm_wave::to_string(self).map_err(|_| format_err!("a {} has no text in WAVE", self.kind()))
    }
}

impl FuncType {
    /// Reads parameters in parentheses from their text in WAVE: `(1, "two", {x: 3})`. Options at the end may be left out.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is invalid, or a value is not of its parameter's type.
    pub fn params_from_wave<H: Clone + 'static>(&self, text: &str) -> Result<Vec<Val<H>>> {
        check_depth(text)?;
        // The text of a call, which has a name.
        let call = format!("f{text}");
        let types: Vec<&Type> = self.params().iter().map(|(_, ty)| ty).collect();
        let read = UntypedFuncCall::parse(&call).and_then(|call| call.to_wasm_params(types.iter().copied()));
        read.map_err(|error| {
            format_err!(
                "`{}` are no parameters of {self} in WAVE: {}",
                OutsideText::new(text),
                OutsideText::new(&error.to_string())
            )
        })
    }
}

type Parts<'a, T> = Box<dyn Iterator<Item = T> + 'a>;

fn none<'a, T: 'a>() -> Parts<'a, T> {
    Box::new(std::iter::empty())
}

impl WasmType for Type {
    fn kind(&self) -> WasmTypeKind {
        match self {
            Self::Bool => WasmTypeKind::Bool,
            Self::S8 => WasmTypeKind::S8,
            Self::U8 => WasmTypeKind::U8,
            Self::S16 => WasmTypeKind::S16,
            Self::U16 => WasmTypeKind::U16,
            Self::S32 => WasmTypeKind::S32,
            Self::U32 => WasmTypeKind::U32,
            Self::S64 => WasmTypeKind::S64,
            Self::U64 => WasmTypeKind::U64,
            Self::Float32 => WasmTypeKind::F32,
            Self::Float64 => WasmTypeKind::F64,
            Self::Char => WasmTypeKind::Char,
            Self::String => WasmTypeKind::String,
            Self::List(_) => WasmTypeKind::List,
            Self::FixedLengthList(_) => WasmTypeKind::FixedLengthList,
            Self::Map(_) => WasmTypeKind::Map,
            Self::Record(_) => WasmTypeKind::Record,
            Self::Tuple(_) => WasmTypeKind::Tuple,
            Self::Variant(_) => WasmTypeKind::Variant,
            Self::Enum(_) => WasmTypeKind::Enum,
            Self::Option(_) => WasmTypeKind::Option,
            Self::Result(_) => WasmTypeKind::Result,
            Self::Flags(_) => WasmTypeKind::Flags,
            Self::ErrorContext | Self::Own(_) | Self::Borrow(_) | Self::Stream(_) | Self::Future(_) => {
                WasmTypeKind::Unsupported
            }
        }
    }

    fn list_element_type(&self) -> Option<Self> {
        match self {
            Self::List(element) => Some((**element).clone()),
            Self::FixedLengthList(list) => Some(list.element().clone()),
            _ => None,
        }
    }

    fn record_fields(&self) -> Parts<'_, (Cow<'_, str>, Self)> {
        match self {
            Self::Record(record) => {
                Box::new(record.fields().iter().map(|(name, ty)| (Cow::from(&**name), ty.clone())))
            }
            _ => none(),
        }
    }

    fn tuple_element_types(&self) -> Parts<'_, Self> {
        match self {
            Self::Tuple(tuple) => Box::new(tuple.types().iter().cloned()),
            _ => none(),
        }
    }

    fn variant_cases(&self) -> Parts<'_, (Cow<'_, str>, Option<Self>)> {
        match self {
            Self::Variant(variant) => {
                Box::new(variant.cases().iter().map(|(name, ty)| (Cow::from(&**name), ty.clone())))
            }
            _ => none(),
        }
    }

    fn enum_cases(&self) -> Parts<'_, Cow<'_, str>> {
        match self {
            Self::Enum(names) => Box::new(names.names().iter().map(|name| Cow::from(&**name))),
            _ => none(),
        }
    }

    fn option_some_type(&self) -> Option<Self> {
        match self {
            Self::Option(option) => Some(option.some().clone()),
            _ => None,
        }
    }

    fn result_types(&self) -> Option<(Option<Self>, Option<Self>)> {
        match self {
            Self::Result(result) => Some((result.ok().cloned(), result.err().cloned())),
            _ => None,
        }
    }

    fn flags_names(&self) -> Parts<'_, Cow<'_, str>> {
        match self {
            Self::Flags(flags) => Box::new(flags.names().iter().map(|name| Cow::from(&**name))),
            _ => none(),
        }
    }

    fn map_key_value_types(&self) -> Option<(Self, Self)> {
        match self {
            Self::Map(map) => Some((map.entry().types()[0].clone(), map.entry().types()[1].clone())),
            _ => None,
        }
    }
}

macro_rules! scalars {
    ($($make:ident $unwrap:ident $case:ident $ty:ty;)*) => {$(
        fn $make(value: $ty) -> Self {
            Self::$case(value)
        }

        fn $unwrap(&self) -> $ty {
            match self {
                Self::$case(value) => *value,
                _ => wrong(self, stringify!($case)),
            }
        }
    )*};
}

/// The trait's functions are called only for values of their kind.
fn wrong<H, R>(value: &Val<H>, expected: &str) -> R {
    unreachable!("a {} is used as a {expected}", value.kind())
}

fn payload<H: Clone>(value: &Option<Box<Val<H>>>) -> Option<Cow<'_, Val<H>>> {
    value.as_deref().map(Cow::Borrowed)
}

/// Returns the payload of a case, if it is as the case's type wants it.
fn case<H>(
    name: &str,
    ty: Option<&Type>,
    value: Option<Val<H>>,
) -> Result<Option<Box<Val<H>>>, WasmValueError> {
    match (ty, &value) {
        (Some(_), None) => Err(WasmValueError::MissingPayload(name.into())),
        (None, Some(_)) => Err(WasmValueError::UnexpectedPayload(name.into())),
        _ => Ok(value.map(Box::new)),
    }
}

fn wrong_kind(kind: WasmTypeKind, ty: &Type) -> WasmValueError {
    WasmValueError::WrongTypeKind { kind, ty: ty.to_string() }
}

impl<H: Clone + 'static> WasmValue for Val<H> {
    type Type = Type;

    fn kind(&self) -> WasmTypeKind {
        match self {
            Self::Bool(_) => WasmTypeKind::Bool,
            Self::S8(_) => WasmTypeKind::S8,
            Self::U8(_) => WasmTypeKind::U8,
            Self::S16(_) => WasmTypeKind::S16,
            Self::U16(_) => WasmTypeKind::U16,
            Self::S32(_) => WasmTypeKind::S32,
            Self::U32(_) => WasmTypeKind::U32,
            Self::S64(_) => WasmTypeKind::S64,
            Self::U64(_) => WasmTypeKind::U64,
            Self::Float32(_) => WasmTypeKind::F32,
            Self::Float64(_) => WasmTypeKind::F64,
            Self::Char(_) => WasmTypeKind::Char,
            Self::String(_) => WasmTypeKind::String,
            Self::List(_) => WasmTypeKind::List,
            Self::FixedLengthList(_) => WasmTypeKind::FixedLengthList,
            Self::Map(_) => WasmTypeKind::Map,
            Self::Record(_) => WasmTypeKind::Record,
            Self::Tuple(_) => WasmTypeKind::Tuple,
            Self::Variant(..) => WasmTypeKind::Variant,
            Self::Enum(_) => WasmTypeKind::Enum,
            Self::Option(_) => WasmTypeKind::Option,
            Self::Result(_) => WasmTypeKind::Result,
            Self::Flags(_) => WasmTypeKind::Flags,
            Self::Resource(_) => WasmTypeKind::Unsupported,
        }
    }

    scalars! {
        make_bool unwrap_bool Bool bool;
        make_s8 unwrap_s8 S8 i8;
        make_s16 unwrap_s16 S16 i16;
        make_s32 unwrap_s32 S32 i32;
        make_s64 unwrap_s64 S64 i64;
        make_u8 unwrap_u8 U8 u8;
        make_u16 unwrap_u16 U16 u16;
        make_u32 unwrap_u32 U32 u32;
        make_u64 unwrap_u64 U64 u64;
        make_f32 unwrap_f32 Float32 f32;
        make_f64 unwrap_f64 Float64 f64;
        make_char unwrap_char Char char;
    }

    fn make_string(value: Cow<'_, str>) -> Self {
        Self::String(value.into())
    }

    fn make_list(ty: &Type, values: impl IntoIterator<Item = Self>) -> Result<Self, WasmValueError> {
        let values: Vec<Self> = values.into_iter().collect();
        match ty {
            Type::List(_) => Ok(Self::List(values)),
            Type::FixedLengthList(list) if values.len() == list.length() as usize => {
                Ok(Self::FixedLengthList(values))
            }
            Type::FixedLengthList(list) => Err(WasmValueError::Other(format!(
                "expected {} elements; got {}",
                list.length(),
                values.len()
            ))),
            _ => Err(wrong_kind(WasmTypeKind::List, ty)),
        }
    }

    fn make_record<'a>(
        ty: &Type,
        fields: impl IntoIterator<Item = (&'a str, Self)>,
    ) -> Result<Self, WasmValueError> {
        let Type::Record(record) = ty else { return Err(wrong_kind(WasmTypeKind::Record, ty)) };
        let mut given: Vec<(&str, Self)> = fields.into_iter().collect();
        let ordered = record.fields().iter().map(|(name, _)| {
            let at = given.iter().position(|(given, _)| *given == &**name);
            let at = at.ok_or_else(|| WasmValueError::MissingField(name.to_string()))?;
            Ok((name.to_string(), given.swap_remove(at).1))
        });
        let ordered = ordered.collect::<Result<_, WasmValueError>>()?;
        match given.first() {
            Some((name, _)) => Err(WasmValueError::UnknownField((*name).into())),
            None => Ok(Self::Record(ordered)),
        }
    }

    fn make_tuple(ty: &Type, values: impl IntoIterator<Item = Self>) -> Result<Self, WasmValueError> {
        let Type::Tuple(tuple) = ty else { return Err(wrong_kind(WasmTypeKind::Tuple, ty)) };
        let values: Vec<Self> = values.into_iter().collect();
        match (tuple.types().len(), values.len()) {
            (want, got) if want != got => Err(WasmValueError::WrongNumberOfTupleValues { want, got }),
            _ => Ok(Self::Tuple(values)),
        }
    }

    fn make_variant(ty: &Type, name: &str, value: Option<Self>) -> Result<Self, WasmValueError> {
        let Type::Variant(variant) = ty else { return Err(wrong_kind(WasmTypeKind::Variant, ty)) };
        let found = variant.cases().iter().find(|(known, _)| **known == *name);
        let (_, ty) = found.ok_or_else(|| WasmValueError::UnknownCase(name.into()))?;
        Ok(Self::Variant(name.into(), case(name, ty.as_ref(), value)?))
    }

    fn make_enum(ty: &Type, name: &str) -> Result<Self, WasmValueError> {
        let Type::Enum(names) = ty else { return Err(wrong_kind(WasmTypeKind::Enum, ty)) };
        match names.names().iter().any(|known| **known == *name) {
            true => Ok(Self::Enum(name.into())),
            false => Err(WasmValueError::UnknownCase(name.into())),
        }
    }

    fn make_option(_ty: &Type, value: Option<Self>) -> Result<Self, WasmValueError> {
        Ok(Self::Option(value.map(Box::new)))
    }

    fn make_result(ty: &Type, value: Result<Option<Self>, Option<Self>>) -> Result<Self, WasmValueError> {
        let Type::Result(result) = ty else { return Err(wrong_kind(WasmTypeKind::Result, ty)) };
        Ok(Self::Result(match value {
            Ok(value) => Ok(case("ok", result.ok(), value)?),
            Err(value) => Err(case("err", result.err(), value)?),
        }))
    }

    fn make_flags<'a>(ty: &Type, names: impl IntoIterator<Item = &'a str>) -> Result<Self, WasmValueError> {
        let Type::Flags(flags) = ty else { return Err(wrong_kind(WasmTypeKind::Flags, ty)) };
        let known = |name: &'a str| match flags.names().iter().any(|known| **known == *name) {
            true => Ok(name.to_owned()),
            false => Err(WasmValueError::UnknownCase(name.into())),
        };
        Ok(Self::Flags(names.into_iter().map(known).collect::<Result<_, _>>()?))
    }

    fn make_map(_ty: &Type, entries: impl IntoIterator<Item = (Self, Self)>) -> Result<Self, WasmValueError> {
        Ok(Self::Map(entries.into_iter().collect()))
    }

    fn unwrap_string(&self) -> Cow<'_, str> {
        match self {
            Self::String(value) => value.into(),
            _ => wrong(self, "string"),
        }
    }

    fn unwrap_list(&self) -> Parts<'_, Cow<'_, Self>> {
        match self {
            Self::List(values) | Self::FixedLengthList(values) => Box::new(values.iter().map(Cow::Borrowed)),
            _ => wrong(self, "list"),
        }
    }

    fn unwrap_record(&self) -> Parts<'_, (Cow<'_, str>, Cow<'_, Self>)> {
        match self {
            Self::Record(fields) => {
                Box::new(fields.iter().map(|(name, value)| (Cow::from(name), Cow::Borrowed(value))))
            }
            _ => wrong(self, "record"),
        }
    }

    fn unwrap_tuple(&self) -> Parts<'_, Cow<'_, Self>> {
        match self {
            Self::Tuple(values) => Box::new(values.iter().map(Cow::Borrowed)),
            _ => wrong(self, "tuple"),
        }
    }

    fn unwrap_variant(&self) -> (Cow<'_, str>, Option<Cow<'_, Self>>) {
        match self {
            Self::Variant(name, value) => (name.into(), payload(value)),
            _ => wrong(self, "variant"),
        }
    }

    fn unwrap_enum(&self) -> Cow<'_, str> {
        match self {
            Self::Enum(name) => name.into(),
            _ => wrong(self, "enum"),
        }
    }

    fn unwrap_option(&self) -> Option<Cow<'_, Self>> {
        match self {
            Self::Option(value) => payload(value),
            _ => wrong(self, "option"),
        }
    }

    fn unwrap_result(&self) -> Result<Option<Cow<'_, Self>>, Option<Cow<'_, Self>>> {
        match self {
            Self::Result(Ok(value)) => Ok(payload(value)),
            Self::Result(Err(value)) => Err(payload(value)),
            _ => wrong(self, "result"),
        }
    }

    fn unwrap_flags(&self) -> Parts<'_, Cow<'_, str>> {
        match self {
            Self::Flags(names) => Box::new(names.iter().map(Cow::from)),
            _ => wrong(self, "flags"),
        }
    }

    fn unwrap_map(&self) -> Parts<'_, (Cow<'_, Self>, Cow<'_, Self>)> {
        match self {
            Self::Map(entries) => {
                Box::new(entries.iter().map(|(key, value)| (Cow::Borrowed(key), Cow::Borrowed(value))))
            }
            _ => wrong(self, "map"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Enum, Flags, OptionType, Record, ResourceIndex, ResultType, Tuple, Variant};
    use std::sync::Arc;

    fn names(names: &[&str]) -> Box<[Arc<str>]> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    fn ty() -> Type {
        let kind = Type::Enum(Arc::new(Enum::new(names(&["file", "link"]))));
        let flags = Type::Flags(Arc::new(Flags::new(names(&["read", "write"]))));
        let shape = Type::Variant(Arc::new(Variant::new(
            [(Arc::from("dot"), None), (Arc::from("circle"), Some(Type::Float64))].into(),
        )));
        let result = Type::Result(Arc::new(ResultType::new(Some(Type::U8), None)));
        let fields = [
            ("name", Type::String),
            ("kind", kind),
            ("flags", flags),
            ("shapes", Type::List(Arc::new(shape))),
            ("size", Type::Option(Arc::new(OptionType::new(Type::U64)))),
            ("pair", Type::Tuple(Arc::new(Tuple::new([Type::S8, Type::Char].into())))),
            ("result", result),
        ];
        Type::Record(Arc::new(Record::new(
            fields.into_iter().map(|(name, ty)| (Arc::from(name), ty)).collect(),
        )))
    }

    #[test]
    fn values_are_read_and_written() {
        let text = r#"{name: "a\"b", kind: link, flags: {read}, shapes: [dot, circle(1.5)], size: some(3), pair: (-1, 'x'), result: ok(7)}"#;
        let value = Val::<()>::from_wave(&ty(), text).unwrap();
        value.check(&ty()).unwrap();
        assert_eq!(value.to_wave().unwrap(), text);
        // In any order, and options may be left out.
        let other = r#"{ result: err, pair: (1, 'y'), shapes: [], kind: file, flags: {}, name: "n" }"#;
        let value = Val::<()>::from_wave(&ty(), other).unwrap();
        value.check(&ty()).unwrap();
    }

    #[test]
    fn parameters_stand_in_parentheses() {
        let option = Type::Option(Arc::new(OptionType::new(Type::U8)));
        let params = [("a", Type::String), ("b", option)].map(|(name, ty)| (Arc::from(name), ty));
        let ty = FuncType::new(params.into(), None, false);
        let read = |text: &str| ty.params_from_wave::<()>(text);
        let a = || Val::String("a, (".into());
        assert_eq!(read(r#"("a, (", some(1))"#).unwrap(), [a(), Val::Option(Some(Box::new(Val::U8(1))))]);
        assert_eq!(read(r#"("a, (")"#).unwrap(), [a(), Val::Option(None)]);
        for bad in ["", "()", "(1)", r#"("a", some(1), 2)"#, r#"("a"#, r#"("a") x"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let fails = |ty: &Type, text: &str, part: &str| {
            let error = Val::<()>::from_wave(ty, text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        fails(&Type::U8, "256", "`256` is no u8 in WAVE");
        fails(&Type::Bool, "maybe", "bool");
        fails(&Type::Own(ResourceIndex(0)), "1", "WAVE");
        fails(&Type::List(Arc::new(Type::U8)), &"[".repeat(1000), "nested more than 100 deep");
        assert!(Val::Resource(()).to_wave().is_err());
        assert!(Val::List(vec![Val::Resource(())]).to_wave().is_err());
    }
}
