//! A builder of memory types.

use super::MemoryType;
use crate::PageCount;
use std::fmt;

/// Builds a [`MemoryType`]. Defaults: 32-bit addresses, pages of 64 KiB, a minimum of zero pages, no maximum, not
/// shared.
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

/// The reason why a memory type is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryTypeError {
    /// The requested page size, as a power of two. Only 2^0 and 2^16 bytes are allowed.
    PageSize(u8),
    /// The minimum or the maximum exceeds the pages that addresses reach.
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
                write!(f, "expected pages of 2^0 or 2^16 bytes, found 2^{log2}")
            }
            Self::TooLarge { pages, limit } => {
                write!(f, "addresses of this width reach {limit} pages, but {pages} were requested")
            }
            Self::Empty { minimum, maximum } => {
                write!(f, "the minimum of {} exceeds the maximum of {maximum}", PageCount(*minimum))
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
    /// Creates a builder with the defaults.
    pub const fn new() -> Self {
        Self { ty: MemoryType::new(0, None) }
    }

    /// Sets the initial size in pages.
    pub const fn min(&mut self, minimum: u64) -> &mut Self {
        self.ty.minimum = minimum;
        self
    }

    /// Sets the maximum size in pages.
    pub const fn max(&mut self, maximum: Option<u64>) -> &mut Self {
        self.ty.maximum = maximum;
        self
    }

    /// Sets whether addresses are 64 bits wide.
    pub const fn memory64(&mut self, is_64: bool) -> &mut Self {
        self.ty.is_64 = is_64;
        self
    }

    /// Sets whether the memory is shared between threads.
    pub const fn shared(&mut self, is_shared: bool) -> &mut Self {
        self.ty.is_shared = is_shared;
        self
    }

    /// Sets the base-2 logarithm of the page size: 0 or 16.
    pub const fn page_size_log2(&mut self, page_size_log2: u8) -> &mut Self {
        self.ty.page_size_log2 = page_size_log2;
        self
    }

    /// Builds the type.
    ///
    /// # Errors
    ///
    /// Returns an error if no module could declare the type.
    pub fn build(&self) -> Result<MemoryType, MemoryTypeError> {
        self.ty.check().map(|()| self.ty)
    }
}

impl MemoryType {
    /// Checks that a module could declare this type. The constructors accept any numbers, so every function that
    /// creates a memory calls this.
    ///
    /// # Errors
    ///
    /// Returns an error that says what is wrong with the type.
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

    /// Creates a builder.
    pub const fn builder() -> MemoryTypeBuilder {
        MemoryTypeBuilder::new()
    }
}
