//! The name, file and line of a source function.

/// A source function of a frame. If the guest's compiler inlined calls, a frame has
/// several.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FrameSymbol {
    pub(crate) name: Option<Box<str>>,
    pub(crate) file: Option<Box<str>>,
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
}

impl FrameSymbol {
    /// Returns the function's name as its compiler wrote it. [`crate::PrintedName`] makes it readable.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the source file.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// Returns the line, from 1.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// Returns the column, from 1.
    pub fn column(&self) -> Option<u32> {
        self.column
    }
}
