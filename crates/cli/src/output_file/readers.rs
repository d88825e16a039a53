//! Who may read a file that the program writes.

/// Who may read a new file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Readers {
    /// Everyone who may read new files of this user, or could read the replaced file.
    Usual,
    /// Only this user, regardless of the replaced file.
    Owner,
}
