//! Types of values.

use super::layout::{AddressType, CaseLayout, FlatType, Layout, MAX_FLAT_PARAMS, Shape, Shaped, Shapes};
use super::layout::{discriminant_size, flatten, pair_of_addresses};
use std::borrow::Cow;
use std::sync::Arc;

/// A resource type of a component: its index in [`Component::resources`](crate::Component::resources).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ResourceIndex(pub u32);

/// The type of a value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Type {
    /// A truth value.
    Bool,
    /// A signed integer of 8 bits.
    S8,
    /// An unsigned integer of 8 bits.
    U8,
    /// A signed integer of 16 bits.
    S16,
    /// An unsigned integer of 16 bits.
    U16,
    /// A signed integer of 32 bits.
    S32,
    /// An unsigned integer of 32 bits.
    U32,
    /// A signed integer of 64 bits.
    S64,
    /// An unsigned integer of 64 bits.
    U64,
    /// A float of 32 bits.
    Float32,
    /// A float of 64 bits.
    Float64,
    /// A Unicode scalar value.
    Char,
    /// A string.
    String,
    /// A handle to an error context.
    ErrorContext,
    /// A list of any length.
    List(Arc<Type>),
    /// A list of a fixed length.
    FixedLengthList(Arc<FixedLengthList>),
    /// Pairs of key and value, in an order.
    Map(Arc<Map>),
    /// Named fields.
    Record(Arc<Record>),
    /// Fields without names.
    Tuple(Arc<Tuple>),
    /// One of several cases, each with or without a payload.
    Variant(Arc<Variant>),
    /// One of several names.
    Enum(Arc<Enum>),
    /// A value, or none.
    Option(Arc<OptionType>),
    /// A success or a failure, each with or without a payload.
    Result(Arc<ResultType>),
    /// A set of names.
    Flags(Arc<Flags>),
    /// A handle that owns a resource.
    Own(ResourceIndex),
    /// A handle that borrows a resource for a call.
    Borrow(ResourceIndex),
    /// The readable end of a stream.
    Stream(Option<Arc<Type>>),
    /// The readable end of a future.
    Future(Option<Arc<Type>>),
}

impl Shaped for Type {
    fn layout(&self, address: AddressType) -> Layout {
        Self::layout(self, address)
    }

    fn flat(&self, address: AddressType) -> Option<Cow<'_, [FlatType]>> {
        Self::flat(self, address)
    }
}

macro_rules! composite {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty),* } |$this:ident| $shapes:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Debug)]
        pub struct $name {
            $($(#[$field_doc])* pub(super) $field: $ty,)*
            shapes: Shapes,
        }

        impl $name {
            /// Creates the type from its parts.
            pub fn new($($field: $ty),*) -> Self {
                struct Parts<'a> { $($field: &'a $ty),* }
                let shapes = {
                    let $this = Parts { $($field: &$field),* };
                    $shapes
                };
                Self { $($field,)* shapes }
            }
        }
    )*};
}

composite! {
    /// A list of a fixed length.
    FixedLengthList { element: Type, length: u32 } |this| Shapes::new(|address| {
        let element = this.element.layout(address);
        let size = element.size.saturating_mul(*this.length);
        let all = std::iter::repeat_n(this.element, *this.length as usize);
        Shape { layout: Layout { size, ..element }, flat: flatten(all, address), offsets: Box::default() }
    });
    /// Pairs of key and value.
    Map { entry: Tuple } |this| { let _ = this.entry; Shapes::new(pair_of_addresses) };
    /// Named fields.
    Record { fields: Box<[(Arc<str>, Type)]> } |this| Shapes::of_fields(this.fields.iter().map(|(_, ty)| ty));
    /// Fields without names.
    Tuple { types: Box<[Type]> } |this| Shapes::of_fields(this.types.iter());
    /// One of several cases.
    Variant { cases: Box<[(Arc<str>, Option<Type>)]> } |this|
        Shapes::of_cases(this.cases.iter().map(|(_, ty)| ty.as_ref()));
    /// One of several names.
    Enum { names: Box<[Arc<str>]> } |this| Shapes::of_cases(this.names.iter().map(|_| None::<&Type>));
    /// A value, or none.
    OptionType { some: Type } |this| Shapes::of_cases([None, Some(this.some)].into_iter());
    /// A success or a failure.
    ResultType { ok: Option<Type>, err: Option<Type> } |this|
        Shapes::of_cases([this.ok.as_ref(), this.err.as_ref()].into_iter());
    /// A set of names.
    Flags { names: Box<[Arc<str>]> } |this| Shapes::new(|_| {
        let words = this.names.len().div_ceil(32);
        let layout = match this.names.len() {
            0..=8 => Layout::of(1),
            9..=16 => Layout::of(2),
            _ => Layout { size: 4 * words as u32, align: 4 },
        };
        let words = words.max(1);
        Shape {
            layout,
            flat: (words <= MAX_FLAT_PARAMS).then(|| vec![FlatType::I32; words].into()),
            offsets: Box::default(),
        }
    });
}

impl FixedLengthList {
    /// Returns the type of the elements.
    #[inline]
    pub fn element(&self) -> &Type {
        &self.element
    }

    /// Returns the number of elements.
    #[inline]
    pub fn length(&self) -> u32 {
        self.length
    }
}

impl Map {
    /// Returns the type of an entry: a tuple of key and value.
    #[inline]
    pub fn entry(&self) -> &Tuple {
        &self.entry
    }
}

impl Record {
    /// Returns the fields.
    #[inline]
    pub fn fields(&self) -> &[(Arc<str>, Type)] {
        &self.fields
    }

    /// Returns where each field lies.
    #[inline]
    pub fn offsets(&self, address: AddressType) -> &[u32] {
        &self.shapes.get(address).offsets
    }
}

impl Tuple {
    /// Returns the types of the fields.
    #[inline]
    pub fn types(&self) -> &[Type] {
        &self.types
    }

    /// Returns where each field lies.
    #[inline]
    pub fn offsets(&self, address: AddressType) -> &[u32] {
        &self.shapes.get(address).offsets
    }

    /// Returns the place that the tuple takes in memory.
    #[inline]
    pub fn layout(&self, address: AddressType) -> Layout {
        self.shapes.get(address).layout
    }

    /// Returns the values of core code that represent it; `None` if there are more than [`MAX_FLAT_PARAMS`].
    #[inline]
    pub fn flat(&self, address: AddressType) -> Option<&[FlatType]> {
        self.shapes.get(address).flat.as_deref()
    }
}

impl Variant {
    /// Returns the cases with their payloads.
    #[inline]
    pub fn cases(&self) -> &[(Arc<str>, Option<Type>)] {
        &self.cases
    }
}

impl Enum {
    /// Returns the names.
    #[inline]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }
}

impl OptionType {
    /// Returns the type of the value.
    #[inline]
    pub fn some(&self) -> &Type {
        &self.some
    }
}

impl ResultType {
    /// Returns the type of the payload of a success.
    #[inline]
    pub fn ok(&self) -> Option<&Type> {
        self.ok.as_ref()
    }

    /// Returns the type of the payload of a failure.
    #[inline]
    pub fn err(&self) -> Option<&Type> {
        self.err.as_ref()
    }
}

impl Flags {
    /// Returns the names.
    #[inline]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }
}

impl Type {
    #[inline]
    fn shapes(&self) -> Option<&Shapes> {
        Some(match self {
            Self::FixedLengthList(ty) => &ty.shapes,
            Self::Map(ty) => &ty.shapes,
            Self::Record(ty) => &ty.shapes,
            Self::Tuple(ty) => &ty.shapes,
            Self::Variant(ty) => &ty.shapes,
            Self::Enum(ty) => &ty.shapes,
            Self::Option(ty) => &ty.shapes,
            Self::Result(ty) => &ty.shapes,
            Self::Flags(ty) => &ty.shapes,
            _ => return None,
        })
    }

    /// Returns the place that a value takes in memory.
    #[inline]
    pub fn layout(&self, address: AddressType) -> Layout {
        match self {
            Self::Bool | Self::S8 | Self::U8 => Layout::of(1),
            Self::S16 | Self::U16 => Layout::of(2),
            Self::S64 | Self::U64 | Self::Float64 => Layout::of(8),
            Self::String | Self::List(_) => pair_of_addresses(address).layout,
            _ => self.shapes().map_or(Layout::of(4), |shapes| shapes.get(address).layout),
        }
    }

    /// Returns the values of core code that represent it; `None` if there are more than [`MAX_FLAT_PARAMS`].
    pub fn flat(&self, address: AddressType) -> Option<Cow<'_, [FlatType]>> {
        const I32: &[FlatType] = &[FlatType::I32];
        const I64: &[FlatType] = &[FlatType::I64];
        Some(match self {
            Self::S64 | Self::U64 => I64.into(),
            Self::Float32 => (&[FlatType::F32]).into(),
            Self::Float64 => (&[FlatType::F64]).into(),
            Self::String | Self::List(_) => match address {
                AddressType::I32 => (&[FlatType::I32; 2]).into(),
                AddressType::I64 => (&[FlatType::I64; 2]).into(),
            },
            _ => match self.shapes() {
                Some(shapes) => shapes.get(address).flat.as_deref()?.into(),
                None => I32.into(),
            },
        })
    }

    /// Returns where the parts of a value lie that is one of several cases; `None` for other types.
    pub fn cases(&self, address: AddressType) -> Option<CaseLayout> {
        let count = match self {
            Self::Variant(ty) => ty.cases.len(),
            Self::Enum(ty) => ty.names.len(),
            Self::Option(_) | Self::Result(_) => 2,
            _ => return None,
        };
        let payload = self.shapes()?.get(address).offsets[0];
        Some(CaseLayout { discriminant: discriminant_size(count), payload })
    }

    /// Returns whether a value contains a borrowed handle.
    pub fn has_borrow(&self) -> bool {
        self.any(&mut |ty| matches!(ty, Self::Borrow(_)))
    }

    /// Returns whether a value of it needs memory: whether it contains a string or a list.
    pub fn needs_memory(&self) -> bool {
        self.any(&mut |ty| matches!(ty, Self::String | Self::List(_) | Self::Map(_)))
    }

    /// Returns whether a condition holds for it or one of its parts.
    pub fn any(&self, is: &mut dyn FnMut(&Self) -> bool) -> bool {
        if is(self) {
            return true;
        }
        match self {
            Self::List(ty) => ty.any(is),
            Self::FixedLengthList(ty) => ty.element.any(is),
            Self::Map(ty) => ty.entry.types.iter().any(|ty| ty.any(is)),
            Self::Record(ty) => ty.fields.iter().any(|(_, ty)| ty.any(is)),
            Self::Tuple(ty) => ty.types.iter().any(|ty| ty.any(is)),
            Self::Variant(ty) => ty.cases.iter().filter_map(|(_, ty)| ty.as_ref()).any(|ty| ty.any(is)),
            Self::Option(ty) => ty.some.any(is),
            Self::Result(ty) => ty.ok.iter().chain(&ty.err).any(|ty| ty.any(is)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(ty: &Type) -> (u32, u32) {
        let Layout { size, align } = ty.layout(AddressType::I32);
        (size, align)
    }

    #[test]
    fn parts_lie_where_the_canonical_abi_says() {
        let record = Record::new(
            [("a", Type::U8), ("b", Type::U64), ("c", Type::String), ("d", Type::Bool)]
                .map(|(name, ty)| (Arc::from(name), ty))
                .into(),
        );
        assert_eq!(record.offsets(AddressType::I32), [0, 8, 16, 24]);
        assert_eq!(record.offsets(AddressType::I64), [0, 8, 16, 32]);
        let ty = Type::Record(Arc::new(record));
        assert_eq!(layout(&ty), (32, 8));
        assert_eq!(ty.layout(AddressType::I64), Layout { size: 40, align: 8 });
        use FlatType::*;
        assert_eq!(*ty.flat(AddressType::I32).unwrap(), [I32, I64, I32, I32, I32]);
        assert_eq!(*ty.flat(AddressType::I64).unwrap(), [I32, I64, I64, I64, I32]);
    }

    #[test]
    fn cases_share_their_payload() {
        let ty = Type::Result(Arc::new(ResultType::new(Some(Type::Float32), Some(Type::U64))));
        assert_eq!(layout(&ty), (16, 8));
        use FlatType::*;
        assert_eq!(*ty.flat(AddressType::I32).unwrap(), [I32, I64]);
        let cases = ty.cases(AddressType::I32).unwrap();
        assert_eq!((cases.discriminant, cases.payload), (1, 8));
        let ty = Type::Result(Arc::new(ResultType::new(Some(Type::Float32), Some(Type::U8))));
        assert_eq!(*ty.flat(AddressType::I32).unwrap(), [I32, I32]);
        assert_eq!(layout(&ty), (8, 4));
        let ty = Type::Option(Arc::new(OptionType::new(Type::U8)));
        assert_eq!(layout(&ty), (2, 1));
        let names = |count: usize| (0..count).map(|i| Arc::from(format!("n{i}"))).collect::<Box<[_]>>();
        for (count, size) in [(1, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 4)] {
            assert_eq!(layout(&Type::Enum(Arc::new(Enum::new(names(count))))), (size, size), "{count}");
        }
        for (count, size, align, words) in [
            (1, 1, 1, 1),
            (8, 1, 1, 1),
            (9, 2, 2, 1),
            (16, 2, 2, 1),
            (17, 4, 4, 1),
            (33, 8, 4, 2),
            (65, 12, 4, 3),
        ] {
            let ty = Type::Flags(Arc::new(Flags::new(names(count))));
            assert_eq!(layout(&ty), (size, align), "{count}");
            assert_eq!(ty.flat(AddressType::I32).unwrap().len(), words, "{count}");
        }
    }

    #[test]
    fn huge_types_do_not_overflow() {
        let mut ty = Type::U64;
        for _ in 0..5 {
            ty = Type::FixedLengthList(Arc::new(FixedLengthList::new(ty, 1000)));
        }
        assert_eq!(layout(&ty).0, u32::MAX);
        assert!(ty.flat(AddressType::I32).is_none());
    }
}
