//! The types of functions, and of tags and exceptions, which are made of them.

use super::registered::{Finality, RegisteredType};
use super::{FieldType, Mutability, ValType};
use crate::{Engine, Result};
use belljar_core::{CompositeType, TypeId, ensure};
use std::fmt;
use std::hash::{Hash, Hasher};

/// The type of a function: its parameters and its results.
///
/// ```
/// use belljar::{Engine, FuncType, ValType};
/// let engine = Engine::default();
/// let ty = FuncType::new(&engine, [ValType::I32, ValType::FUNCREF], [ValType::F64]);
/// assert_eq!(ty.param(1), Some(ValType::FUNCREF));
/// assert_eq!(ty.to_string(), "(i32, funcref) -> f64");
/// ```
#[derive(Clone)]
pub struct FuncType {
    form: Form,
}

#[derive(Clone)]
enum Form {
    /// A final type without a supertype, registered with the engine only when a reference type needs it.
    Plain {
        engine: Engine,
        params: Box<[ValType]>,
        results: Box<[ValType]>,
    },
    Registered(RegisteredType),
}

impl FuncType {
    /// Creates a final function type. Using it with another engine, or with types of another engine, is an error.
    pub fn new(
        engine: &Engine,
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> Self {
        let (params, results) = (params.into_iter().collect(), results.into_iter().collect());
        Self { form: Form::Plain { engine: engine.clone(), params, results } }
    }

    /// Creates a function type as [`FuncType::new`] does, and checks that the types belong to the engine.
    ///
    /// # Errors
    ///
    /// Returns an error if a type belongs to another engine.
    pub fn try_new(
        engine: &Engine,
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> Result<Self> {
        let ty = Self::new(engine, params, results);
        ty.to_core(engine)?;
        Ok(ty)
    }

    /// Creates a function type that may have subtypes or a supertype.
    ///
    /// # Errors
    ///
    /// Returns an error if the type does not match `supertype`, if `supertype` is final, if it or one of the types
    /// belongs to another engine, or if the engine has no room for another type.
    pub fn with_finality_and_supertype(
        engine: &Engine,
        finality: Finality,
        supertype: Option<&Self>,
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> Result<Self> {
        let ty = Self::new(engine, params, results);
        let supertype = match supertype {
            Some(supertype) => {
                ensure!(ty.fits(supertype), "the type, {ty}, does not match the supertype, {supertype}");
                Some(supertype.registered(engine)?)
            }
            None => None,
        };
        let composite = CompositeType::Func(ty.to_core(engine)?);
        Ok(Self::of(RegisteredType::define(engine, finality, supertype.as_ref(), composite)?))
    }

    /// Returns the function type of a registered type that is one.
    pub(super) fn of(ty: RegisteredType) -> Self {
        Self { form: Form::Registered(ty) }
    }

    /// Returns the engine that the type belongs to.
    pub fn engine(&self) -> &Engine {
        match &self.form {
            Form::Plain { engine, .. } => engine,
            Form::Registered(ty) => ty.engine(),
        }
    }

    /// Returns whether the type may have subtypes.
    pub fn finality(&self) -> Finality {
        match &self.form {
            Form::Plain { .. } => Finality::Final,
            Form::Registered(ty) => ty.finality(),
        }
    }

    /// Returns the type's declared supertype.
    pub fn supertype(&self) -> Option<Self> {
        match &self.form {
            Form::Plain { .. } => None,
            Form::Registered(ty) => ty.supertype().map(Self::of),
        }
    }

    /// Returns the parameters, in order.
    pub fn params(&self) -> impl ExactSizeIterator<Item = ValType> + '_ {
        let count = match &self.form {
            Form::Plain { params, .. } => params.len(),
            Form::Registered(ty) => func(ty).params().len(),
        };
        (0..count).map(|i| self.param(i).unwrap_or(ValType::I32))
    }

    /// Returns the `i`th parameter.
    pub fn param(&self, i: usize) -> Option<ValType> {
        match &self.form {
            Form::Plain { params, .. } => params.get(i).cloned(),
            Form::Registered(ty) => {
                func(ty).params().get(i).map(|param| ValType::from_core(*param, ty.engine()))
            }
        }
    }

    /// Returns the results, in order.
    pub fn results(&self) -> impl ExactSizeIterator<Item = ValType> + '_ {
        let count = match &self.form {
            Form::Plain { results, .. } => results.len(),
            Form::Registered(ty) => func(ty).results().len(),
        };
        (0..count).map(|i| self.result(i).unwrap_or(ValType::I32))
    }

    /// Returns the `i`th result.
    pub fn result(&self, i: usize) -> Option<ValType> {
        match &self.form {
            Form::Plain { results, .. } => results.get(i).cloned(),
            Form::Registered(ty) => {
                func(ty).results().get(i).map(|result| ValType::from_core(*result, ty.engine()))
            }
        }
    }

    /// Returns whether a function of this type is one of `other`: whether this type is `other`, or a declared subtype
    /// of it.
    pub fn matches(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        match (&self.form, other.registered(self.engine())) {
            (Form::Registered(ty), Ok(other)) => ty.matches(&other),
            _ => false,
        }
    }

    /// Returns whether the parameters and results allow this type to be a subtype of `other`.
    fn fits(&self, other: &Self) -> bool {
        let (params, results) = (self.params().len(), self.results().len());
        params == other.params().len()
            && results == other.results().len()
            && other.params().zip(self.params()).all(|(a, b)| a.matches(&b))
            && self.results().zip(other.results()).all(|(a, b)| a.matches(&b))
    }

    /// Returns the type's id in an engine, which keeps it from now on.
    pub(super) fn id_in(&self, engine: &Engine) -> Result<TypeId> {
        self.registered(engine)?.id_in(engine)
    }

    fn registered(&self, engine: &Engine) -> Result<RegisteredType> {
        match &self.form {
            Form::Registered(ty) => Ok(ty.clone()),
            Form::Plain { .. } => {
                let composite = CompositeType::Func(self.to_core(engine)?);
                RegisteredType::define(engine, Finality::Final, None, composite)
            }
        }
    }

    pub(crate) fn to_core(&self, engine: &Engine) -> Result<belljar_core::FuncType> {
        match &self.form {
            Form::Plain { params, results, .. } => {
                let convert = |types: &[ValType]| -> Result<Vec<_>> {
                    types.iter().map(|ty| ty.to_core(engine)).collect()
                };
                Ok(belljar_core::FuncType::new(convert(params)?, convert(results)?))
            }
            Form::Registered(ty) => {
                ty.id_in(engine)?;
                Ok(func(ty).clone())
            }
        }
    }

    pub(crate) fn from_core(ty: &belljar_core::FuncType, engine: &Engine) -> Self {
        let convert = |types: &[belljar_core::ValType]| -> Vec<_> {
            types.iter().map(|ty| ValType::from_core(*ty, engine)).collect()
        };
        Self::new(engine, convert(ty.params()), convert(ty.results()))
    }

    /// Prints the type as the heap type of a reference.
    pub(super) fn fmt_name(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.form {
            Form::Plain { .. } => write!(f, "(func {self})"),
            Form::Registered(ty) => fmt::Display::fmt(ty, f),
        }
    }
}

/// Returns the definition of a registered function type.
fn func(ty: &RegisteredType) -> &belljar_core::FuncType {
    match ty.composite() {
        CompositeType::Func(ty) => ty,
        other => unreachable!("a function type is one: {other}"),
    }
}

/// Types are equal if their parameters, results, finality and supertype are.
impl PartialEq for FuncType {
    fn eq(&self, other: &Self) -> bool {
        match (&self.form, &other.form) {
            (Form::Registered(a), Form::Registered(b)) if a == b => true,
            _ => {
                self.finality() == other.finality()
                    && self.params().eq(other.params())
                    && self.results().eq(other.results())
                    && self.supertype() == other.supertype()
            }
        }
    }
}

impl Eq for FuncType {}

impl Hash for FuncType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.params().len(), self.results().len()).hash(state);
    }
}

impl fmt::Debug for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FuncType({self})")
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, types: &mut dyn Iterator<Item = ValType>| {
            f.write_str("(")?;
            for (i, ty) in types.enumerate() {
                write!(f, "{}{ty}", if i == 0 { "" } else { ", " })?;
            }
            f.write_str(")")
        };
        list(f, &mut self.params())?;
        f.write_str(" -> ")?;
        match self.result(0) {
            Some(one) if self.results().len() == 1 => one.fmt(f),
            _ => list(f, &mut self.results()),
        }
    }
}

/// The type of a tag: a function type whose parameters are the payload of an exception, and which has no results.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TagType(FuncType);

impl TagType {
    /// Creates the type of a tag whose exceptions carry the function type's parameters.
    pub const fn new(ty: FuncType) -> Self {
        Self(ty)
    }

    /// Returns the function type.
    pub const fn ty(&self) -> &FuncType {
        &self.0
    }
}

impl fmt::Display for TagType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag {}", self.0)
    }
}

/// The type of an exception: the values that it carries.
///
/// ```
/// use belljar::{Engine, ExnType, ValType};
/// let engine = Engine::default();
/// let ty = ExnType::new(&engine, [ValType::I32])?;
/// assert_eq!(ExnType::from_tag_type(&ty.tag_type())?, ty);
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ExnType {
    func: FuncType,
}

impl ExnType {
    /// Creates the type of exceptions that carry values of these types.
    ///
    /// # Errors
    ///
    /// Returns an error if a type belongs to another engine.
    pub fn new(engine: &Engine, fields: impl IntoIterator<Item = ValType>) -> Result<Self> {
        Ok(Self { func: FuncType::try_new(engine, fields, [])? })
    }

    /// Creates the type of exceptions with a tag.
    ///
    /// # Errors
    ///
    /// Returns an error if the tag's type has results.
    pub fn from_tag_type(tag: &TagType) -> Result<Self> {
        let results = tag.ty().results().len();
        ensure!(results == 0, "the type of a tag has no results, but this one, {}, has {results}", tag.ty());
        Ok(Self { func: tag.ty().clone() })
    }

    /// Returns the type of a tag for such exceptions.
    pub fn tag_type(&self) -> TagType {
        TagType::new(self.func.clone())
    }

    /// Returns the engine that the type belongs to.
    pub fn engine(&self) -> &Engine {
        self.func.engine()
    }

    /// Returns the values that an exception carries, in order, as immutable fields.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = FieldType> + '_ {
        self.func.params().map(|ty| FieldType::new(Mutability::Const, ty.into()))
    }

    /// Returns the `i`th value that an exception carries, as an immutable field.
    pub fn field(&self, i: usize) -> Option<FieldType> {
        self.func.param(i).map(|ty| FieldType::new(Mutability::Const, ty.into()))
    }

    /// Returns whether an exception of this type is one of `other`: exceptions have no subtypes.
    pub fn matches(&self, other: &Self) -> bool {
        self == other
    }
}

impl fmt::Display for ExnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("exn (")?;
        for (i, ty) in self.func.params().enumerate() {
            write!(f, "{}{ty}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str(")")
    }
}
