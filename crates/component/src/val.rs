//! Values whose types are known only at run time.

use crate::types::{FuncType, Type};
use belljar_core::{OutsideText, Result, bail, ensure};

/// A value of a component. `H` is how handles to resources are held.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are those of the types")]
pub enum Val<H> {
    Bool(bool),
    S8(i8),
    U8(u8),
    S16(i16),
    U16(u16),
    S32(i32),
    U32(u32),
    S64(i64),
    U64(u64),
    Float32(f32),
    Float64(f64),
    Char(char),
    String(String),
    List(Vec<Self>),
    FixedLengthList(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Record(Vec<(String, Self)>),
    Tuple(Vec<Self>),
    Variant(String, Option<Box<Self>>),
    Enum(String),
    Option(Option<Box<Self>>),
    Result(std::result::Result<Option<Box<Self>>, Option<Box<Self>>>),
    Flags(Vec<String>),
    Resource(H),
}

impl<H> Val<H> {
    /// Returns what kind of value it is, as WIT names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::S8(_) => "s8",
            Self::U8(_) => "u8",
            Self::S16(_) => "s16",
            Self::U16(_) => "u16",
            Self::S32(_) => "s32",
            Self::U32(_) => "u32",
            Self::S64(_) => "s64",
            Self::U64(_) => "u64",
            Self::Float32(_) => "f32",
            Self::Float64(_) => "f64",
            Self::Char(_) => "char",
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::FixedLengthList(_) => "list of a fixed length",
            Self::Map(_) => "map",
            Self::Record(_) => "record",
            Self::Tuple(_) => "tuple",
            Self::Variant(..) => "variant",
            Self::Enum(_) => "enum",
            Self::Option(_) => "option",
            Self::Result(_) => "result",
            Self::Flags(_) => "flags",
            Self::Resource(_) => "resource",
        }
    }

    /// Checks that the value, with all its parts, is of a type. Handles are checked when they are passed.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first part that is not.
    pub fn check(&self, ty: &Type) -> Result<()> {
        let payload = |name: &str, value: &Option<Box<Self>>, ty: Option<&Type>| match (value, ty) {
            (Some(value), Some(ty)) => value.check(ty),
            (None, None) => Ok(()),
            (Some(_), None) => bail!("the case {} has no payload, and was given one", OutsideText::new(name)),
            (None, Some(ty)) => {
                bail!("the case {} has a payload of type {ty}, and was given none", OutsideText::new(name))
            }
        };
        match (self, ty) {
            (Self::Bool(_), Type::Bool)
            | (Self::S8(_), Type::S8)
            | (Self::U8(_), Type::U8)
            | (Self::S16(_), Type::S16)
            | (Self::U16(_), Type::U16)
            | (Self::S32(_), Type::S32)
            | (Self::U32(_), Type::U32)
            | (Self::S64(_), Type::S64)
            | (Self::U64(_), Type::U64)
            | (Self::Float32(_), Type::Float32)
            | (Self::Float64(_), Type::Float64)
            | (Self::Char(_), Type::Char)
            | (Self::String(_), Type::String)
            | (Self::Resource(_), Type::Own(_) | Type::Borrow(_)) => Ok(()),
            (Self::List(values), Type::List(ty)) => values.iter().try_for_each(|value| value.check(ty)),
            (Self::FixedLengthList(values), Type::FixedLengthList(list)) => {
                ensure!(
                    values.len() == list.length() as usize,
                    "a list of {} elements was expected, and {} were given",
                    list.length(),
                    values.len()
                );
                values.iter().try_for_each(|value| value.check(list.element()))
            }
            (Self::Map(entries), Type::Map(map)) => entries.iter().try_for_each(|(key, value)| {
                key.check(&map.entry().types()[0])?;
                value.check(&map.entry().types()[1])
            }),
            (Self::Record(fields), Type::Record(record)) => {
                ensure!(
                    fields.len() == record.fields().len(),
                    "{ty} has {} fields, and {} were given",
                    record.fields().len(),
                    fields.len()
                );
                fields.iter().zip(record.fields()).try_for_each(|((given, value), (name, ty))| {
                    ensure!(
                        **given == **name,
                        "the field {} was expected, and {} was given: fields have the order of their type",
                        OutsideText::new(&**name),
                        OutsideText::new(given)
                    );
                    value.check(ty)
                })
            }
            (Self::Tuple(values), Type::Tuple(tuple)) => {
                ensure!(
                    values.len() == tuple.types().len(),
                    "{ty} has {} fields, and {} were given",
                    tuple.types().len(),
                    values.len()
                );
                values.iter().zip(tuple.types()).try_for_each(|(value, ty)| value.check(ty))
            }
            (Self::Variant(name, value), Type::Variant(variant)) => {
                match variant.cases().iter().find(|(case, _)| **case == **name) {
                    Some((_, ty)) => payload(name, value, ty.as_ref()),
                    None => bail!("{ty} has no case {}", OutsideText::new(name)),
                }
            }
            (Self::Enum(name), Type::Enum(names)) => {
                ensure!(
                    names.names().iter().any(|case| **case == **name),
                    "{ty} has no case {}",
                    OutsideText::new(name)
                );
                Ok(())
            }
            (Self::Option(value), Type::Option(option)) => {
                value.as_ref().map_or(Ok(()), |value| value.check(option.some()))
            }
            (Self::Result(Ok(value)), Type::Result(result)) => payload("ok", value, result.ok()),
            (Self::Result(Err(value)), Type::Result(result)) => payload("err", value, result.err()),
            (Self::Flags(given), Type::Flags(flags)) => given.iter().try_for_each(|name| {
                ensure!(
                    flags.names().iter().any(|flag| **flag == **name),
                    "{ty} has no flag {}",
                    OutsideText::new(name)
                );
                Ok(())
            }),
            _ => bail!("a value of type {ty} was expected, and a {} was given", self.kind()),
        }
    }
}

/// Checks that there is a value for each parameter of a function, of the parameter's type.
///
/// # Errors
///
/// Returns an error that names the first parameter for which there is none.
pub fn check_params<H>(ty: &FuncType, params: &[Val<H>]) -> Result<()> {
    use belljar_core::{Context, Counted};
    ensure!(
        params.len() == ty.params().len(),
        "the function has {}, and {} given: its type is {ty}",
        Counted::of(ty.params().len(), "parameter"),
        match params.len() {
            1 => "1 was".into(),
            n => format!("{n} were"),
        }
    );
    for ((name, ty), value) in ty.params().iter().zip(params) {
        value.check(ty).with_context(|| format!("parameter {}", OutsideText::new(&**name)))?;
    }
    Ok(())
}

impl<H> Val<H> {
    /// Converts the handles in a value of a type. `convert` gets the handle's type too.
    ///
    /// # Errors
    ///
    /// Returns the first error of `convert`.
    pub fn convert<I>(self, ty: &Type, convert: &mut dyn FnMut(&Type, H) -> Result<I>) -> Result<Val<I>> {
        let mut all = |values: Vec<Self>, ty: &Type| -> Result<Vec<Val<I>>> {
            values.into_iter().map(|value| value.convert(ty, convert)).collect()
        };
        Ok(match (self, ty) {
            (Self::List(values), Type::List(ty)) => Val::List(all(values, ty)?),
            (Self::FixedLengthList(values), Type::FixedLengthList(list)) => {
                Val::FixedLengthList(all(values, list.element())?)
            }
            (Self::Map(entries), Type::Map(map)) => {
                let [key_ty, value_ty] = map.entry().types() else {
                    bail!("belljar bug: an entry has two parts")
                };
                let entries = entries.into_iter().map(|(key, value)| {
                    Ok((key.convert(key_ty, convert)?, value.convert(value_ty, convert)?))
                });
                Val::Map(entries.collect::<Result<_>>()?)
            }
            (Self::Record(fields), Type::Record(record)) => {
                let fields = fields.into_iter().zip(record.fields());
                let fields = fields.map(|((name, value), (_, ty))| Ok((name, value.convert(ty, convert)?)));
                Val::Record(fields.collect::<Result<_>>()?)
            }
            (Self::Tuple(values), Type::Tuple(tuple)) => {
                let values = values.into_iter().zip(tuple.types());
                Val::Tuple(values.map(|(value, ty)| value.convert(ty, convert)).collect::<Result<_>>()?)
            }
            (Self::Variant(name, value), Type::Variant(variant)) => {
                let case = variant.cases().iter().find(|(case, _)| **case == *name);
                let ty = case.and_then(|(_, ty)| ty.as_ref());
                Val::Variant(name, Self::convert_payload(value, ty, convert)?)
            }
            (Self::Option(value), Type::Option(option)) => {
                Val::Option(Self::convert_payload(value, Some(option.some()), convert)?)
            }
            (Self::Result(Ok(value)), Type::Result(result)) => {
                Val::Result(Ok(Self::convert_payload(value, result.ok(), convert)?))
            }
            (Self::Result(Err(value)), Type::Result(result)) => {
                Val::Result(Err(Self::convert_payload(value, result.err(), convert)?))
            }
            (Self::Resource(handle), ty) => Val::Resource(convert(ty, handle)?),
            (Self::Bool(v), _) => Val::Bool(v),
            (Self::S8(v), _) => Val::S8(v),
            (Self::U8(v), _) => Val::U8(v),
            (Self::S16(v), _) => Val::S16(v),
            (Self::U16(v), _) => Val::U16(v),
            (Self::S32(v), _) => Val::S32(v),
            (Self::U32(v), _) => Val::U32(v),
            (Self::S64(v), _) => Val::S64(v),
            (Self::U64(v), _) => Val::U64(v),
            (Self::Float32(v), _) => Val::Float32(v),
            (Self::Float64(v), _) => Val::Float64(v),
            (Self::Char(v), _) => Val::Char(v),
            (Self::String(v), _) => Val::String(v),
            (Self::Enum(v), _) => Val::Enum(v),
            (Self::Flags(v), _) => Val::Flags(v),
            (other, ty) => bail!("belljar bug: a {} is converted as {ty}", other.kind()),
        })
    }

    fn convert_payload<I>(
        value: Option<Box<Self>>,
        ty: Option<&Type>,
        convert: &mut dyn FnMut(&Type, H) -> Result<I>,
    ) -> Result<Option<Box<Val<I>>>> {
        value.zip(ty).map(|(value, ty)| value.convert(ty, convert).map(Box::new)).transpose()
    }
}
