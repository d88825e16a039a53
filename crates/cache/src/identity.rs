//! What an artifact is: its kind, and the key that it was made under.

use crate::key::Key;
use std::fmt;

/// What an artifact is sealed as. No kind is ever taken for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ArtifactKind {
    /// An entry of a cache: of use only to whoever has the source that its key was made of.
    CacheEntry,
    /// A compiled module that stands alone.
    Module,
    /// A compiled module with the state of one of its instances.
    Snapshot,
}

impl ArtifactKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::CacheEntry, Self::Module, Self::Snapshot];

    /// The number that stands for it in a seal.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::CacheEntry => 1,
            Self::Module => 2,
            Self::Snapshot => 3,
        }
    }

    /// The kind that a number in a seal stands for.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// With its article, as sentences have it.
impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CacheEntry => "an entry of a cache",
            Self::Module => "a compiled module",
            Self::Snapshot => "a snapshot",
        })
    }
}

/// What an artifact is sealed as, and looked for as: both have to agree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// What it is.
    pub kind: ArtifactKind,
    /// What it depends on.
    pub key: Key,
}

impl Identity {
    /// That of a cache's entry under a key.
    pub fn entry(key: Key) -> Self {
        Self { kind: ArtifactKind::CacheEntry, key }
    }
}

/// `a snapshot with the key 0123456789abcdef…`: the first digits of a key tell two of them apart.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with the key {:.16}…", self.kind, self.key.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_for_one_kind_each() {
        for kind in ArtifactKind::ALL {
            assert_eq!(ArtifactKind::from_number(kind.number()), Some(kind));
        }
        assert_eq!(ArtifactKind::from_number(0), None);
        assert_eq!(ArtifactKind::from_number(4), None);
    }

    #[test]
    fn an_identity_reads_as_people_expect() {
        let snapshot = Identity { kind: ArtifactKind::Snapshot, key: Key([0xab; 32]) };
        assert_eq!(snapshot.to_string(), "a snapshot with the key abababababababab…");
    }
}
