//! Types as WIT writes them. They have no names here: their parts are written out.

use super::func_type::FuncType;
use super::value_type::Type;
use std::fmt;

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |f: &mut fmt::Formatter<'_>, open: &str, parts: &mut dyn Iterator<Item = String>| {
            f.write_str(open)?;
            for (i, part) in parts.enumerate() {
                write!(f, "{}{part}", if i > 0 { ", " } else { "" })?;
            }
            f.write_str(if open.ends_with('<') { ">" } else { " }" })
        };
        match self {
            Self::Bool => f.write_str("bool"),
            Self::S8 => f.write_str("s8"),
            Self::U8 => f.write_str("u8"),
            Self::S16 => f.write_str("s16"),
            Self::U16 => f.write_str("u16"),
            Self::S32 => f.write_str("s32"),
            Self::U32 => f.write_str("u32"),
            Self::S64 => f.write_str("s64"),
            Self::U64 => f.write_str("u64"),
            Self::Float32 => f.write_str("f32"),
            Self::Float64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::ErrorContext => f.write_str("error-context"),
            Self::List(ty) => write!(f, "list<{ty}>"),
            Self::FixedLengthList(ty) => write!(f, "list<{}, {}>", ty.element, ty.length),
            Self::Map(ty) => fields(f, "map<", &mut ty.entry.types.iter().map(ToString::to_string)),
            Self::Record(ty) => {
                fields(f, "record { ", &mut ty.fields.iter().map(|(name, ty)| format!("{name}: {ty}")))
            }
            Self::Tuple(ty) => fields(f, "tuple<", &mut ty.types.iter().map(ToString::to_string)),
            Self::Variant(ty) => fields(
                f,
                "variant { ",
                &mut ty.cases.iter().map(|(name, ty)| match ty {
                    Some(ty) => format!("{name}({ty})"),
                    None => name.to_string(),
                }),
            ),
            Self::Enum(ty) => fields(f, "enum { ", &mut ty.names.iter().map(ToString::to_string)),
            Self::Option(ty) => write!(f, "option<{}>", ty.some),
            Self::Result(ty) => match (&ty.ok, &ty.err) {
                (None, None) => f.write_str("result"),
                (Some(ok), None) => write!(f, "result<{ok}>"),
                (None, Some(err)) => write!(f, "result<_, {err}>"),
                (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            },
            Self::Flags(ty) => fields(f, "flags { ", &mut ty.names.iter().map(ToString::to_string)),
            Self::Own(_) => f.write_str("own<resource>"),
            Self::Borrow(_) => f.write_str("borrow<resource>"),
            Self::Stream(None) => f.write_str("stream"),
            Self::Stream(Some(ty)) => write!(f, "stream<{ty}>"),
            Self::Future(None) => f.write_str("future"),
            Self::Future(Some(ty)) => write!(f, "future<{ty}>"),
        }
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_async { "async func(" } else { "func(" })?;
        for (i, (name, ty)) in self.params.iter().enumerate() {
            write!(f, "{}{name}: {ty}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str(")")?;
        match &self.result {
            Some(ty) => write!(f, " -> {ty}"),
            None => Ok(()),
        }
    }
}
