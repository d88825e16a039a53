//! The name, file and line of a source function.

/// A function of the source language at a frame. Where the guest's compiler inlined calls, a frame has
/// several.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FrameSymbol {
    pub(crate) name: Option<Box<str>>,
    pub(crate) file: Option<Box<str>>,
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
}

impl FrameSymbol {
    /// The function's name as its compiler wrote it. [`crate::PrintedName`] makes it readable.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The source file.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The line, from 1.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// The column, from 1.
    pub fn column(&self) -> Option<u32> {
        self.column
    }
}
