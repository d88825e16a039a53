//! Types as adapters see them: what has to be checked, and what can be copied as it is.

use crate::types::{AddressType, CaseLayout, FlatType, Layout, Tuple, Type};
use std::collections::HashMap;
use std::sync::Arc;

/// A type of values. The entries of a map are tuples that have no [`Type`] of their own.
#[derive(Clone, Copy)]
pub(super) enum Shape<'p> {
    Type(&'p Type),
    Fields(&'p Tuple),
}

/// What a shape is.
pub(super) enum Kind<'p> {
    Bool,
    /// An integer of so many bytes.
    Int {
        size: u32,
        signed: bool,
    },
    Float32,
    Float64,
    Char,
    String,
    /// A list, or the list of entries that a map is.
    List {
        element: Shape<'p>,
        is_map: bool,
    },
    /// Elements one after the other.
    Array {
        element: Shape<'p>,
        length: u32,
    },
    Fields(Vec<Shape<'p>>),
    /// One of several cases, each with or without a payload.
    Cases(Vec<Option<Shape<'p>>>),
    /// So many names.
    Flags(usize),
    Handle {
        resource: crate::types::ResourceIndex,
        owned: bool,
    },
    /// What adapters do not pass.
    Other,
}

/// What tells shapes apart. Types that are shared have one key, wherever they are used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Key {
    Bool,
    Int(u32, bool),
    Float32,
    Float64,
    Char,
    String,
    Handle(u32, bool),
    /// The address of a part that is shared, with a number for its kind.
    Part(u8, usize),
    Other,
    /// Anything of so many bytes with an alignment.
    Bytes(u32, u32),
}

fn part<T: ?Sized>(kind: u8, part: &Arc<T>) -> Key {
    Key::Part(kind, Arc::as_ptr(part).cast::<()>() as usize)
}

impl<'p> Shape<'p> {
    pub(super) fn key(self) -> Key {
        match self {
            Self::Fields(tuple) => Key::Part(0, std::ptr::from_ref(tuple) as usize),
            Self::Type(ty) => match ty {
                Type::Bool => Key::Bool,
                Type::S8 => Key::Int(1, true),
                Type::U8 => Key::Int(1, false),
                Type::S16 => Key::Int(2, true),
                Type::U16 => Key::Int(2, false),
                Type::S32 | Type::U32 => Key::Int(4, false),
                Type::S64 | Type::U64 => Key::Int(8, false),
                Type::Float32 => Key::Float32,
                Type::Float64 => Key::Float64,
                Type::Char => Key::Char,
                Type::String => Key::String,
                Type::Own(resource) => Key::Handle(resource.0, true),
                Type::Borrow(resource) => Key::Handle(resource.0, false),
                Type::Tuple(tuple) => Key::Part(0, Arc::as_ptr(tuple) as usize),
                Type::List(ty) => part(1, ty),
                Type::FixedLengthList(ty) => part(2, ty),
                Type::Map(ty) => part(3, ty),
                Type::Record(ty) => part(4, ty),
                Type::Variant(ty) => part(5, ty),
                Type::Enum(ty) => part(6, ty),
                Type::Option(ty) => part(7, ty),
                Type::Result(ty) => part(8, ty),
                Type::Flags(ty) => part(9, ty),
                Type::ErrorContext | Type::Stream(_) | Type::Future(_) => Key::Other,
            },
        }
    }

    pub(super) fn kind(self) -> Kind<'p> {
        let fields = |types: &'p [Type]| Kind::Fields(types.iter().map(Shape::Type).collect());
        match self {
            Self::Fields(tuple) => fields(tuple.types()),
            Self::Type(ty) => match ty {
                Type::Bool => Kind::Bool,
                Type::S8 => Kind::Int { size: 1, signed: true },
                Type::U8 => Kind::Int { size: 1, signed: false },
                Type::S16 => Kind::Int { size: 2, signed: true },
                Type::U16 => Kind::Int { size: 2, signed: false },
                Type::S32 | Type::U32 => Kind::Int { size: 4, signed: false },
                Type::S64 | Type::U64 => Kind::Int { size: 8, signed: false },
                Type::Float32 => Kind::Float32,
                Type::Float64 => Kind::Float64,
                Type::Char => Kind::Char,
                Type::String => Kind::String,
                Type::List(element) => Kind::List { element: Shape::Type(element), is_map: false },
                Type::Map(map) => Kind::List { element: Shape::Fields(map.entry()), is_map: true },
                Type::FixedLengthList(list) => {
                    Kind::Array { element: Shape::Type(list.element()), length: list.length() }
                }
                Type::Record(record) => {
                    Kind::Fields(record.fields().iter().map(|(_, ty)| Shape::Type(ty)).collect())
                }
                Type::Tuple(tuple) => fields(tuple.types()),
                Type::Variant(variant) => {
                    Kind::Cases(variant.cases().iter().map(|(_, ty)| ty.as_ref().map(Shape::Type)).collect())
                }
                Type::Enum(names) => Kind::Cases(vec![None; names.names().len()]),
                Type::Option(option) => Kind::Cases(vec![None, Some(Shape::Type(option.some()))]),
                Type::Result(result) => {
                    Kind::Cases(vec![result.ok().map(Shape::Type), result.err().map(Shape::Type)])
                }
                Type::Flags(flags) => Kind::Flags(flags.names().len()),
                Type::Own(resource) => Kind::Handle { resource: *resource, owned: true },
                Type::Borrow(resource) => Kind::Handle { resource: *resource, owned: false },
                Type::ErrorContext | Type::Stream(_) | Type::Future(_) => Kind::Other,
            },
        }
    }

    pub(super) fn layout(self, address: AddressType) -> Layout {
        match self {
            Self::Type(ty) => ty.layout(address),
            Self::Fields(tuple) => tuple.layout(address),
        }
    }

    /// Returns the core values that represent it, which are known to be few enough to be passed one by one.
    pub(super) fn flat(self, address: AddressType) -> Vec<FlatType> {
        match self {
            Self::Type(ty) => ty.flat(address).unwrap_or_default().into_owned(),
            Self::Fields(tuple) => tuple.flat(address).unwrap_or_default().to_vec(),
        }
    }

    /// Returns where the fields lie.
    pub(super) fn offsets(self, address: AddressType) -> &'p [u32] {
        match self {
            Self::Fields(tuple) => tuple.offsets(address),
            Self::Type(Type::Tuple(tuple)) => tuple.offsets(address),
            Self::Type(Type::Record(record)) => record.offsets(address),
            Self::Type(_) => &[],
        }
    }

    /// Returns where the parts lie of a value that is one of several cases.
    pub(super) fn cases(self, address: AddressType) -> CaseLayout {
        match self {
            Self::Type(ty) => ty.cases(address),
            Self::Fields(_) => None,
        }
        .unwrap_or(CaseLayout { discriminant: 4, payload: 4 })
    }
}

/// What has to be done with the values of a shape.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    /// Whether lifting one can fail, or takes handles.
    pub(super) is_checked: bool,
    /// Whether its bytes can be copied as they are, once they were checked: there is no other form of the same value, and
    /// no gap that may hold something else.
    pub(super) is_verbatim: bool,
    /// Whether adapters can pass it.
    pub(super) is_expressible: bool,
    /// Whether it contains borrowed handles.
    pub(super) has_borrow: bool,
    /// Whether lowering one allocates memory.
    pub(super) allocates: bool,
}

/// The facts about shapes that were asked for.
#[derive(Default)]
pub(super) struct AllFacts {
    known: HashMap<Key, Facts>,
}

impl AllFacts {
    pub(super) fn of(&mut self, shape: Shape<'_>) -> Facts {
        if let Some(facts) = self.known.get(&shape.key()) {
            return *facts;
        }
        let facts = self.find(shape);
        self.known.insert(shape.key(), facts);
        facts
    }

    fn find(&mut self, shape: Shape<'_>) -> Facts {
        let plain = Facts {
            is_checked: false,
            is_verbatim: true,
            is_expressible: true,
            has_borrow: false,
            allocates: false,
        };
        let checked = Facts { is_checked: true, is_verbatim: false, ..plain };
        match shape.kind() {
            Kind::Int { .. } | Kind::Float32 | Kind::Float64 => plain,
            Kind::Bool => Facts { is_verbatim: false, ..plain },
            Kind::Char => Facts { is_verbatim: true, ..checked },
            Kind::String => Facts { allocates: true, ..checked },
            Kind::Handle { owned, .. } => Facts { has_borrow: !owned, ..checked },
            Kind::Flags(count) => Facts { is_verbatim: matches!(count, 8 | 16) || count % 32 == 0, ..plain },
            Kind::List { element, .. } => Facts { is_checked: true, is_verbatim: false, ..self.of(element) },
            Kind::Array { element, .. } => self.of(element),
            Kind::Fields(fields) => {
                let all = fields.iter().map(|field| self.of(*field));
                let all = all.fold(plain, |all, field| Facts {
                    is_checked: all.is_checked | field.is_checked,
                    is_verbatim: all.is_verbatim & field.is_verbatim,
                    is_expressible: all.is_expressible & field.is_expressible,
                    has_borrow: all.has_borrow | field.has_borrow,
                    allocates: all.allocates | field.allocates,
                });
                // A verbatim shape has no addresses: so its layout is the same everywhere.
                let address = AddressType::I32;
                let size =
                    fields.iter().fold(0_u64, |sum, field| sum + u64::from(field.layout(address).size));
                let has_gaps = size != u64::from(shape.layout(address).size);
                Facts { is_verbatim: all.is_verbatim && !has_gaps, ..all }
            }
            Kind::Cases(cases) => {
                let without_payloads = cases.iter().all(Option::is_none);
                let payloads = cases.iter().flatten().map(|payload| self.of(*payload));
                let all = payloads.fold(checked, |all, payload| Facts {
                    is_expressible: all.is_expressible & payload.is_expressible,
                    has_borrow: all.has_borrow | payload.has_borrow,
                    allocates: all.allocates | payload.allocates,
                    ..all
                });
                Facts { is_verbatim: without_payloads, ..all }
            }
            Kind::Other => Facts { is_expressible: false, ..checked },
        }
    }
}
