use belljar_core::OutsideText;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a guest was killed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KillReason {
    /// The host killed it, for the given reason.
    Host(Arc<str>),
    /// It ran for this long.
    WallTime(Duration),
    /// It used this much CPU time.
    CpuTime(Duration),
}

impl fmt::Display for KillReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(why) => OutsideText::new(&**why).fmt(f),
            Self::WallTime(time) => write!(f, "it ran for longer than {time:?}"),
            Self::CpuTime(time) => write!(f, "it used more than {time:?} of CPU time"),
        }
    }
}

impl<S: Into<Arc<str>>> From<S> for KillReason {
    fn from(why: S) -> Self {
        Self::Host(why.into())
    }
}
