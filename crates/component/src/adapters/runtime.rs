//! What the runtime does for adapters: what core code cannot do.

use crate::abi::invalid;
use crate::plan::{CoreExport, InstanceIndex};
use crate::types::{FlatType, ResourceIndex, Type};
use belljar_core::{Error, format_err};

/// A function of the runtime that adapters call. Addresses and lengths are passed in 64 bits.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum RuntimeFunc {
    /// Traps because of the flags of an instance: it may not leave, or it is closed.
    Refuse(InstanceIndex),
    /// Traps: gets a [`TrapCode`] and three numbers.
    Trap,
    /// Begins a call, which borrows and lends handles, and keeps values for its guest.
    BeginCall,
    /// Traps if handles that were borrowed for the call are still there.
    CheckBorrows,
    /// Ends the call that was begun last.
    EndCall,
    /// Takes a handle out of an instance, or borrows it. The resource is kept for [`RuntimeFunc::LowerHandle`].
    LiftHandle {
        /// The instance.
        instance: InstanceIndex,
        /// The type of the resource.
        resource: ResourceIndex,
        /// Whether it is taken; otherwise it is borrowed.
        owned: bool,
    },
    /// Gives an instance the resource that was lifted first of those that no instance has got yet. Returns the handle.
    LowerHandle {
        /// The instance.
        instance: InstanceIndex,
        /// The type of the resource.
        resource: ResourceIndex,
        /// Whether it is owned; otherwise it is borrowed.
        owned: bool,
    },
    /// Traps if a range of a memory is no text.
    CheckText {
        /// The memory.
        memory: CoreExport,
        /// Whether it is UTF-16; otherwise it is UTF-8.
        utf16: bool,
    },
    /// Copies text from one memory to another.
    Transcode {
        /// How.
        how: Transcode,
        /// The memory that it is in.
        from: CoreExport,
        /// The memory that it is copied to.
        to: CoreExport,
    },
    /// Changes, or looks at, the units of text where it lies.
    InPlace {
        /// What it does.
        what: InPlace,
        /// The memory.
        memory: CoreExport,
    },
}

/// How text is copied. The functions get where it lies, the number of its units, and where it goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transcode {
    /// From Latin-1 to ASCII, up to what is not ASCII. Returns the number of units that were copied.
    Latin1ToAscii,
    /// From UTF-16 to ASCII, in the same way.
    Utf16ToAscii,
    /// From Latin-1 to UTF-8. Returns the number of bytes.
    Latin1ToUtf8,
    /// From UTF-16 to UTF-8. Returns the number of bytes.
    Utf16ToUtf8,
    /// From Latin-1 to UTF-16. Returns the number of units, as the next one does.
    Latin1ToUtf16,
    /// From UTF-8 to UTF-16.
    Utf8ToUtf16,
    /// From UTF-8 to Latin-1, up to what is not in Latin-1. Returns the number of bytes that were written in the upper half,
    /// and the number of units that were read in the lower half.
    Utf8ToLatin1,
    /// From UTF-16 to Latin-1, in the same way.
    Utf16ToLatin1,
}

/// What is done with text where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum InPlace {
    /// Makes UTF-16 of Latin-1.
    Widen,
    /// Makes Latin-1 of UTF-16 all of whose characters are in it.
    Narrow,
    /// Returns whether all characters of UTF-16 are in Latin-1.
    IsLatin1,
}

impl RuntimeFunc {
    /// Returns the types of its parameters, and of its result.
    pub fn ty(&self) -> (&'static [FlatType], Option<FlatType>) {
        use FlatType::{I32, I64};
        match self {
            Self::Refuse(_) | Self::BeginCall | Self::CheckBorrows | Self::EndCall => (&[], None),
            Self::Trap => (&[I32, I64, I64, I64], None),
            Self::LiftHandle { .. } => (&[I32], None),
            Self::LowerHandle { .. } => (&[], Some(I32)),
            Self::CheckText { .. } => (&[I64, I64], None),
            Self::Transcode { .. } => (&[I64, I64, I64], Some(I64)),
            Self::InPlace { .. } => (&[I64, I64], Some(I32)),
        }
    }
}

/// Why an adapter traps, with the meaning of the three numbers that it passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrapCode {
    /// A range does not lie in the memory: start, size, length of the memory.
    OutOfBounds,
    /// An address is not aligned: the address, the alignment.
    Unaligned,
    /// Too many elements of a list: their number, the size of one.
    LongList,
    /// Too many entries of a map: their number, the size of one.
    LongMap,
    /// Too many units of a string: their number, the size of one.
    LongString,
    /// A number that is no character: the number.
    NoChar,
    /// A number that is no case: the number, the index of the type in [`AdapterInstance::types`](super::AdapterInstance::types).
    NoCase,
    /// A range that was allocated does not lie in the memory: start, size, length of the memory.
    AllocatedOutOfBounds,
    /// An address that was allocated is not aligned: the address, the alignment.
    AllocatedUnaligned,
    /// An exception left a component.
    Exception,
}

impl TrapCode {
    const ALL: [Self; 10] = [
        Self::OutOfBounds,
        Self::Unaligned,
        Self::LongList,
        Self::LongMap,
        Self::LongString,
        Self::NoChar,
        Self::NoCase,
        Self::AllocatedOutOfBounds,
        Self::AllocatedUnaligned,
        Self::Exception,
    ];

    /// Returns the error of a trap, given what an adapter has passed.
    pub fn error(code: i32, numbers: [u64; 3], types: &[Type]) -> Error {
        let found = Self::ALL.into_iter().find(|known| *known as i32 == code);
        let [a, b, c] = numbers;
        match found {
            Some(Self::OutOfBounds) => invalid::out_of_bounds(a, b, c),
            Some(Self::Unaligned) => invalid::unaligned(a, b as u32),
            Some(Self::LongList) => invalid::too_long("list", a, b as u32),
            Some(Self::LongMap) => invalid::too_long("map", a, b as u32),
            Some(Self::LongString) => invalid::too_long("string", a, b as u32),
            Some(Self::NoChar) => invalid::no_char(a as u32),
            Some(Self::NoCase) => match types.get(b as usize) {
                Some(ty) => invalid::no_case(a, ty),
                None => format_err!("belljar bug: an adapter traps because of a type that it does not have"),
            },
            Some(Self::AllocatedOutOfBounds) => invalid::allocated_out_of_bounds(a, b, c),
            Some(Self::AllocatedUnaligned) => invalid::allocated_unaligned(a, b as u32),
            Some(Self::Exception) => invalid::exception_left_component(),
            None => format_err!("belljar bug: an adapter traps with the code {code}"),
        }
    }
}
