//! Arbitrary types of values: how they are written, and which core values they are passed as.

use arbitrary::{Result, Unstructured};
use std::fmt::Write;

/// The type of a value. Fields, cases and flags are called `n0`, `n1` and so on.
#[derive(Clone, Debug)]
pub enum Type {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    Float32,
    Float64,
    Char,
    String,
    List(Box<Type>),
    FixedLengthList(Box<Type>, u32),
    Map(Box<Type>, Box<Type>),
    Record(Vec<Type>),
    Tuple(Vec<Type>),
    Variant(Vec<Option<Type>>),
    Enum(u32),
    Option(Box<Type>),
    Result(Option<Box<Type>>, Option<Box<Type>>),
    Flags(u32),
    /// Handles to the host's resource type.
    Own,
    Borrow,
}

/// A type of core values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flat {
    I32,
    I64,
    F32,
    F64,
}

impl Flat {
    pub fn name(self) -> &'static str {
        match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// The core type that has room for either.
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::I32 | Self::F32, Self::I32 | Self::F32) => Self::I32,
            _ => Self::I64,
        }
    }
}

/// How deep types are nested, and how many parts the types of a function have together.
const DEPTH: u32 = 4;
const PARTS: u32 = 40;

/// More core values than this are passed in memory.
pub const MAX_FLAT_PARAMS: usize = 16;

/// The types of a function.
#[derive(Debug)]
pub struct Signature {
    pub params: Vec<Type>,
    pub result: Option<Type>,
}

impl Signature {
    pub fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let mut parts = Parts { left: PARTS, has_resources: u.ratio(1, 4)? };
        // Some functions have more parameters than there are parameters of core functions.
        let count = if u.ratio(1, 8)? { u.int_in_range(14..=20)? } else { u.int_in_range(0..=4)? };
        let depth = if count > 4 { 1 } else { DEPTH };
        let params = (0..count).map(|_| {
            if parts.has_resources && u.ratio(1, 4)? { Ok(Type::Borrow) } else { parts.ty(u, depth) }
        });
        let params = params.collect::<Result<_>>()?;
        let result = u.ratio(5, 6)?.then(|| parts.ty(u, DEPTH)).transpose()?;
        let mut all = Self { params, result };
        // A guest drops what it borrowed, and does not know where in memory that is.
        if all.flat_params().is_none() {
            let borrowed = all.params.iter_mut().filter(|ty| matches!(ty, Type::Borrow));
            borrowed.for_each(|ty| *ty = Type::Own);
        }
        Ok(all)
    }

    /// Returns the core values that the parameters are passed as; `None` if it is memory.
    pub fn flat_params(&self) -> Option<Vec<Flat>> {
        let mut flat = Vec::new();
        self.params.iter().for_each(|ty| ty.flatten(&mut flat));
        (flat.len() <= MAX_FLAT_PARAMS).then_some(flat)
    }

    /// Returns which of the core values that parameters are passed as are borrowed handles.
    pub fn borrowed(&self) -> Vec<usize> {
        let (mut flat, mut borrowed) = (Vec::new(), Vec::new());
        for ty in &self.params {
            if let Type::Borrow = ty {
                borrowed.push(flat.len());
            }
            ty.flatten(&mut flat);
        }
        borrowed
    }

    /// Returns the core value that the result is passed as, if any; `None` if it is memory.
    pub fn flat_result(&self) -> Option<Option<Flat>> {
        let mut flat = Vec::new();
        self.result.iter().for_each(|ty| ty.flatten(&mut flat));
        (flat.len() <= 1).then(|| flat.first().copied())
    }

    /// Writes the definitions of types with names, each in one line, and the function's type.
    pub fn write(&self) -> (Vec<String>, String) {
        let (mut named, mut text) = (Vec::new(), String::new());
        for (i, ty) in self.params.iter().enumerate() {
            let _ = write!(text, r#"(param "p{i}" {}) "#, ty.write(&mut named));
        }
        if let Some(ty) = &self.result {
            let _ = write!(text, "(result {})", ty.write(&mut named));
        }
        (named, text)
    }
}

/// What the types of a function may still have.
struct Parts {
    left: u32,
    has_resources: bool,
}

impl Parts {
    fn ty(&mut self, u: &mut Unstructured<'_>, depth: u32) -> Result<Type> {
        self.left = self.left.saturating_sub(1);
        if depth == 0 || self.left == 0 {
            return self.scalar(u);
        }
        let depth = depth - 1;
        Ok(match u.int_in_range(0..=15)? {
            0..=3 => self.scalar(u)?,
            4 => Type::String,
            5 | 6 => Type::List(self.ty(u, depth)?.into()),
            7 => Type::Option(self.ty(u, depth)?.into()),
            8 => Type::Record(self.several(u, depth)?),
            9 => Type::Tuple(self.several(u, depth)?),
            10 => {
                let count = u.int_in_range(1..=6)?;
                let mut cases = (0..count).map(|_| self.payload(u, depth)).collect::<Result<Vec<_>>>()?;
                // More cases than a byte can tell apart.
                if u.ratio(1, 16)? {
                    cases.resize(260, None);
                }
                Type::Variant(cases)
            }
            11 => Type::Enum(*u.choose(&[1, 2, 5, 256, 257])?),
            12 => {
                let ok = self.payload(u, depth)?.map(Box::new);
                Type::Result(ok, self.payload(u, depth)?.map(Box::new))
            }
            13 => Type::Flags(*u.choose(&[1, 3, 7, 8, 9, 16, 17, 31, 32])?),
            14 => Type::FixedLengthList(self.ty(u, depth)?.into(), u.int_in_range(1..=3)?),
            _ => {
                // Values of maps have no handles.
                let has_resources = std::mem::take(&mut self.has_resources);
                let value = self.ty(u, depth)?;
                self.has_resources = has_resources;
                Type::Map(key(u)?.into(), value.into())
            }
        })
    }

    fn several(&mut self, u: &mut Unstructured<'_>, depth: u32) -> Result<Vec<Type>> {
        (0..u.int_in_range(1..=5)?).map(|_| self.ty(u, depth)).collect()
    }

    fn payload(&mut self, u: &mut Unstructured<'_>, depth: u32) -> Result<Option<Type>> {
        u.ratio(2, 3)?.then(|| self.ty(u, depth)).transpose()
    }

    fn scalar(&self, u: &mut Unstructured<'_>) -> Result<Type> {
        if self.has_resources && u.ratio(1, 4)? {
            return Ok(Type::Own);
        }
        Ok(match u.int_in_range(0..=12)? {
            0 => Type::Float32,
            1 => Type::Float64,
            _ => key(u)?,
        })
    }
}

/// A type that keys of maps may have.
fn key(u: &mut Unstructured<'_>) -> Result<Type> {
    Ok(match u.int_in_range(0..=10)? {
        0 => Type::Bool,
        1 => Type::S8,
        2 => Type::U8,
        3 => Type::S16,
        4 => Type::U16,
        5 => Type::S32,
        6 => Type::U32,
        7 => Type::S64,
        8 => Type::U64,
        9 => Type::Char,
        _ => Type::String,
    })
}

impl Type {
    fn flatten(&self, out: &mut Vec<Flat>) {
        let cases = |out: &mut Vec<Flat>, cases: &mut dyn Iterator<Item = &Type>| {
            out.push(Flat::I32);
            let start = out.len();
            for ty in cases {
                let mut flat = Vec::new();
                ty.flatten(&mut flat);
                for (i, flat) in flat.into_iter().enumerate() {
                    match out.get_mut(start + i) {
                        Some(joined) => *joined = joined.join(flat),
                        None => out.push(flat),
                    }
                }
            }
        };
        match self {
            Self::S64 | Self::U64 => out.push(Flat::I64),
            Self::Float32 => out.push(Flat::F32),
            Self::Float64 => out.push(Flat::F64),
            Self::String | Self::List(_) | Self::Map(..) => out.extend([Flat::I32; 2]),
            Self::FixedLengthList(ty, length) => (0..*length).for_each(|_| ty.flatten(out)),
            Self::Record(types) | Self::Tuple(types) => types.iter().for_each(|ty| ty.flatten(out)),
            Self::Variant(types) => cases(out, &mut types.iter().flatten()),
            Self::Option(ty) => cases(out, &mut std::iter::once(&**ty)),
            Self::Result(ok, err) => cases(out, &mut [ok, err].into_iter().flatten().map(|ty| &**ty)),
            _ => out.push(Flat::I32),
        }
    }

    /// Returns the type's text. The text of types that need a name is added to `named`, and they are called `$t0` and so on.
    fn write(&self, named: &mut Vec<String>) -> String {
        let names = |count: u32| (0..count).map(|i| format!(" \"n{i}\"")).collect::<String>();
        let all = |types: &[Self], named: &mut Vec<String>| -> Vec<String> {
            types.iter().map(|ty| ty.write(named)).collect()
        };
        let definition = match self {
            Self::List(ty) => return format!("(list {})", ty.write(named)),
            Self::FixedLengthList(ty, length) => return format!("(list {} {length})", ty.write(named)),
            Self::Map(key, value) => return format!("(map {} {})", key.write(named), value.write(named)),
            Self::Tuple(types) => return format!("(tuple {})", all(types, named).join(" ")),
            Self::Option(ty) => return format!("(option {})", ty.write(named)),
            Self::Result(ok, err) => {
                let ok = ok.as_ref().map(|ty| ty.write(named)).unwrap_or_default();
                let err = err.as_ref().map(|ty| format!("(error {})", ty.write(named)));
                return format!("(result {ok} {})", err.unwrap_or_default());
            }
            Self::Record(types) => {
                let fields = all(types, named).into_iter().enumerate();
                format!(
                    "(record{})",
                    fields.map(|(i, ty)| format!(r#" (field "n{i}" {ty})"#)).collect::<String>()
                )
            }
            Self::Variant(cases) => {
                let mut text = String::from("(variant");
                for (i, ty) in cases.iter().enumerate() {
                    let payload = ty.as_ref().map(|ty| ty.write(named)).unwrap_or_default();
                    let _ = write!(text, r#" (case "n{i}" {payload})"#);
                }
                text + ")"
            }
            Self::Enum(count) => format!("(enum{})", names(*count)),
            Self::Flags(count) => format!("(flags{})", names(*count)),
            Self::Own => return "(own $r)".into(),
            Self::Borrow => return "(borrow $r)".into(),
            Self::Float32 => return "f32".into(),
            Self::Float64 => return "f64".into(),
            scalar => return format!("{scalar:?}").to_lowercase(),
        };
        named.push(definition);
        format!("$t{}", named.len() - 1)
    }
}
