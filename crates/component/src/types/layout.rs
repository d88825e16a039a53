//! Where the parts of a value lie, and the core values that represent it.

use std::borrow::Cow;

/// The type of an address: that of the memory that values lie in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AddressType {
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
}

impl AddressType {
    /// Returns its size in bytes.
    pub const fn size(self) -> u32 {
        match self {
            Self::I32 => 4,
            Self::I64 => 8,
        }
    }

    /// Returns its type in core code.
    pub const fn flat(self) -> FlatType {
        match self {
            Self::I32 => FlatType::I32,
            Self::I64 => FlatType::I64,
        }
    }
}

/// The type of a value in core code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FlatType {
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
    /// A float of 32 bits.
    F32,
    /// A float of 64 bits.
    F64,
}

impl FlatType {
    /// Returns the type that holds values of both.
    const fn join(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a as u8 == b as u8 => a,
            (Self::I32, Self::F32) | (Self::F32, Self::I32) => Self::I32,
            _ => Self::I64,
        }
    }
}

/// The place that a value takes in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Layout {
    /// Bytes, a multiple of the alignment.
    pub size: u32,
    /// A power of two.
    pub align: u32,
}

impl Layout {
    pub(super) const fn of(size: u32) -> Self {
        Self { size, align: size }
    }
}

/// The largest number of parameters that are passed one by one.
pub const MAX_FLAT_PARAMS: usize = 16;
/// The same for a function that is lowered with the asynchronous ABI.
pub const MAX_FLAT_ASYNC_PARAMS: usize = 4;
/// The largest number of results that are returned one by one.
pub const MAX_FLAT_RESULTS: usize = 1;

/// A type whose values have a place in memory and a flat form.
pub(super) trait Shaped {
    /// Returns the place that a value takes in memory.
    fn layout(&self, address: AddressType) -> Layout;

    /// Returns the values of core code that represent it; `None` if there are more than [`MAX_FLAT_PARAMS`].
    fn flat(&self, address: AddressType) -> Option<Cow<'_, [FlatType]>>;
}

/// The layout of a type with parts, for one type of address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Shape {
    pub(super) layout: Layout,
    /// `None` if there are more than [`MAX_FLAT_PARAMS`].
    pub(super) flat: Option<Box<[FlatType]>>,
    /// Where the parts lie: the fields of a record, or the payload of each case at the first entry.
    pub(super) offsets: Box<[u32]>,
}

/// The layout of a type with parts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Shapes {
    narrow: Shape,
    wide: Shape,
}

impl Shapes {
    pub(super) fn new(shape: impl Fn(AddressType) -> Shape) -> Self {
        Self { narrow: shape(AddressType::I32), wide: shape(AddressType::I64) }
    }

    #[inline]
    pub(super) fn get(&self, address: AddressType) -> &Shape {
        match address {
            AddressType::I32 => &self.narrow,
            AddressType::I64 => &self.wide,
        }
    }

    /// The layout of parts that lie one after the other.
    pub(super) fn of_fields<'a>(fields: impl Iterator<Item = &'a (impl Shaped + 'a)> + Clone) -> Self {
        Self::new(|address| {
            let (mut end, mut align) = (0_u32, 1);
            let mut offsets = Vec::new();
            for field in fields.clone() {
                let layout = field.layout(address);
                let at = end.next_multiple_of(layout.align);
                offsets.push(at);
                end = at.saturating_add(layout.size);
                align = align.max(layout.align);
            }
            let size = end.checked_next_multiple_of(align).unwrap_or(u32::MAX);
            Shape {
                layout: Layout { size, align },
                flat: flatten(fields.clone(), address),
                offsets: offsets.into(),
            }
        })
    }

    /// The layout of one of several payloads behind a discriminant.
    pub(super) fn of_cases<'a>(
        cases: impl ExactSizeIterator<Item = Option<&'a (impl Shaped + 'a)>> + Clone,
    ) -> Self {
        let discriminant = Layout::of(discriminant_size(cases.len()));
        Self::new(|address| {
            let (mut size, mut align) = (0, 1);
            for layout in cases.clone().flatten().map(|ty| ty.layout(address)) {
                size = size.max(layout.size);
                align = align.max(layout.align);
            }
            let payload = discriminant.size.next_multiple_of(align);
            let align = align.max(discriminant.align);
            let size = payload.checked_add(size).and_then(|size| size.checked_next_multiple_of(align));
            let mut flat = Some(vec![FlatType::I32]);
            for case in cases.clone().flatten() {
                flat = flat.and_then(|flat| join(flat, &case.flat(address)?));
            }
            Shape {
                layout: Layout { size: size.unwrap_or(u32::MAX), align },
                flat: flat.map(Into::into),
                offsets: Box::new([payload]),
            }
        })
    }
}

/// Joins the flat form of a case's payload into that of a variant, behind the discriminant.
fn join(mut flat: Vec<FlatType>, payload: &[FlatType]) -> Option<Vec<FlatType>> {
    for (i, ty) in payload.iter().enumerate() {
        match flat.get_mut(i + 1) {
            Some(slot) => *slot = slot.join(*ty),
            None => flat.push(*ty),
        }
    }
    (flat.len() <= MAX_FLAT_PARAMS).then_some(flat)
}

/// Returns the flat forms of several types, one after the other; `None` if there are more than [`MAX_FLAT_PARAMS`].
pub(super) fn flatten<'a>(
    types: impl Iterator<Item = &'a (impl Shaped + 'a)>,
    address: AddressType,
) -> Option<Box<[FlatType]>> {
    let mut flat = Vec::new();
    for ty in types {
        flat.extend_from_slice(&ty.flat(address)?);
        if flat.len() > MAX_FLAT_PARAMS {
            return None;
        }
    }
    Some(flat.into())
}

/// Returns the bytes of the number that tells which of `cases` it is.
pub(super) const fn discriminant_size(cases: usize) -> u32 {
    match cases {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// The layout of a string, a list or a map: an address and a length.
pub(super) fn pair_of_addresses(address: AddressType) -> Shape {
    let size = address.size();
    Shape {
        layout: Layout { size: 2 * size, align: size },
        flat: Some(Box::new([address.flat(); 2])),
        offsets: Box::default(),
    }
}

/// Where the parts of a variant lie.
#[derive(Clone, Copy, Debug)]
pub struct CaseLayout {
    /// The bytes of the discriminant, at the start.
    pub discriminant: u32,
    /// Where the payload begins.
    pub payload: u32,
}
