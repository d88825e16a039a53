//! What an artifact is: its kind, and the key that it was made under.

use crate::key::Key;
use std::fmt;

/// The kind that an artifact is sealed as. An artifact of one kind is never accepted as another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ArtifactKind {
    /// A cache entry: useful only to a process that has the source from which the key was computed.
    CacheEntry,
    /// A compiled module that can be used without its source.
    Module,
    /// A compiled module with the state of one of its instances.
    Snapshot,
    /// What belongs together in a compiled component: its description, and which compiled modules are its own.
    Component,
}

impl ArtifactKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::CacheEntry, Self::Module, Self::Snapshot, Self::Component];

    /// Returns the kind's number in a seal.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::CacheEntry => 1,
            Self::Module => 2,
            Self::Snapshot => 3,
            Self::Component => 4,
        }
    }

    /// Returns the kind with this number in a seal.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// Prints the kind with its article, for use in a sentence.
impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CacheEntry => "an entry of a cache",
            Self::Module => "a compiled module",
            Self::Snapshot => "a snapshot",
            Self::Component => "a compiled component",
        })
    }
}

/// What an artifact is sealed as and looked up as: kind and key must both match.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// The kind.
    pub kind: ArtifactKind,
    /// The digest of everything that the artifact depends on.
    pub key: Key,
}

impl Identity {
    /// Returns the identity of the cache entry under a key.
    pub fn entry(key: Key) -> Self {
        Self { kind: ArtifactKind::CacheEntry, key }
    }
}

/// Prints `a snapshot with the key 0123456789abcdef…`: the first digits are enough to tell keys apart.
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
        assert_eq!(ArtifactKind::from_number(5), None);
    }

    #[test]
    fn an_identity_reads_as_people_expect() {
        let snapshot = Identity { kind: ArtifactKind::Snapshot, key: Key([0xab; 32]) };
        assert_eq!(snapshot.to_string(), "a snapshot with the key abababababababab…");
    }
}
