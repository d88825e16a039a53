//! Who may read a file that the program writes.

/// Who may read a new file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Readers {
    /// Whoever may read other files that this user makes, or could read the file that is replaced.
    Usual,
    /// This user alone, whatever was there.
    Owner,
}
