//! A memory's type, piece by piece.

use super::MemoryType;
use std::fmt;

/// Builds a [`MemoryType`]. Unless said otherwise: 32-bit addresses, pages of 64 KiB, from none on, without a
/// maximum, not shared.
///
/// ```
/// use belljar_core::MemoryType;
/// let ty = MemoryType::builder().min(10).max(Some(20)).memory64(true).page_size_log2(0).build()?;
/// assert_eq!(ty.to_string(), "memory i64 10..20 pages of 1 byte");
/// assert!(MemoryType::builder().min(65537).build().is_err());
/// # Ok::<(), belljar_core::MemoryTypeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MemoryTypeBuilder {
    ty: MemoryType,
}

/// Why there is no such memory type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryTypeError {
    /// Pages have 1 or 65536 bytes: the power of two that was asked for.
    PageSize(u8),
    /// Addresses reach fewer pages than the minimum or the maximum.
    TooLarge {
        /// The larger of the two.
        pages: u64,
        /// The pages that addresses reach.
        limit: u64,
    },
    /// The minimum exceeds the maximum.
    Empty {
        /// The minimum.
        minimum: u64,
        /// The maximum.
        maximum: u64,
    },
    /// A shared memory without a maximum.
    SharedWithoutMaximum,
}

impl fmt::Display for MemoryTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PageSize(log2) => {
                write!(f, "the size of pages is 2^0 or 2^16 bytes, and 2^{log2} was asked for")
            }
            Self::TooLarge { pages, limit } => {
                write!(f, "addresses of this width reach {limit} pages, and {pages} were asked for")
            }
            Self::Empty { minimum, maximum } => {
                write!(f, "the minimum of {minimum} pages exceeds the maximum of {maximum}")
            }
            Self::SharedWithoutMaximum => f.write_str("a shared memory needs a maximum"),
        }
    }
}

impl std::error::Error for MemoryTypeError {}

impl Default for MemoryTypeBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryTypeBuilder {
    /// The defaults.
    pub const fn new() -> Self {
        Self { ty: MemoryType::new(0, None) }
    }

    /// The size that it starts with, in pages.
    pub const fn min(&mut self, minimum: u64) -> &mut Self {
        self.ty.minimum = minimum;
        self
    }

    /// The size that it may grow to, in pages.
    pub const fn max(&mut self, maximum: Option<u64>) -> &mut Self {
        self.ty.maximum = maximum;
        self
    }

    /// Whether addresses are 64 bits wide.
    pub const fn memory64(&mut self, is_64: bool) -> &mut Self {
        self.ty.is_64 = is_64;
        self
    }

    /// Whether several threads may use it at once.
    pub const fn shared(&mut self, is_shared: bool) -> &mut Self {
        self.ty.is_shared = is_shared;
        self
    }

    /// The power of two that the page size is: 0 or 16.
    pub const fn page_size_log2(&mut self, page_size_log2: u8) -> &mut Self {
        self.ty.page_size_log2 = page_size_log2;
        self
    }

    /// The type.
    ///
    /// # Errors
    ///
    /// Where no module could declare it.
    pub fn build(&self) -> Result<MemoryType, MemoryTypeError> {
        self.ty.check().map(|()| self.ty)
    }
}

impl MemoryType {
    /// Refuses a type that no module could declare: its constructors take any numbers, and whatever makes a memory asks this.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), MemoryTypeError> {
        let Self { minimum, maximum, page_size_log2, .. } = *self;
        if !matches!(page_size_log2, 0 | 16) {
            return Err(MemoryTypeError::PageSize(page_size_log2));
        }
        let limit = Self { maximum: None, ..*self }.page_limit();
        let pages = minimum.max(maximum.unwrap_or(0));
        if pages > limit {
            return Err(MemoryTypeError::TooLarge { pages, limit });
        }
        match maximum {
            Some(maximum) if minimum > maximum => Err(MemoryTypeError::Empty { minimum, maximum }),
            None if self.is_shared => Err(MemoryTypeError::SharedWithoutMaximum),
            _ => Ok(()),
        }
    }

    /// Builds a type piece by piece.
    pub const fn builder() -> MemoryTypeBuilder {
        MemoryTypeBuilder::new()
    }
}
