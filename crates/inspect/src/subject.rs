//! What can be looked at.

use crate::report::{StoreReport, nanoseconds};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Whoever knows stores of this process, and what their guests do.
///
/// Questions come from threads of their own, several at once.
pub trait Subject: Send + Sync {
    /// Its stores.
    fn stores(&self, detail: Detail) -> Vec<StoreReport>;

    /// Records a profile of its guests, for as long as is wanted or until `keep_recording` says no: then nobody waits for it any more.
    /// What it returns is JSON, of whatever shape.
    ///
    /// # Errors
    ///
    /// Where nothing can be recorded.
    fn profile(&self, wanted: &ProfileRequest, keep_recording: &dyn Fn() -> bool) -> anyhow::Result<Vec<u8>>;

    /// Kills the guest of a store, by its number, or of all stores. How many were running.
    fn kill(&self, store: Option<u64>, reason: &str) -> usize;
}

/// How much is wanted of each store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// The innermost frame, for those who list stores.
    Innermost,
    /// Stacks.
    Stacks {
        /// Every frame that there is, not just as many as one likes to read.
        all_frames: bool,
    },
}

/// What profile is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfileRequest {
    /// How long is recorded.
    #[serde(rename = "duration_ns", with = "nanoseconds")]
    pub duration: Duration,
    /// Between two samples.
    #[serde(rename = "interval_ns", with = "nanoseconds")]
    pub interval: Duration,
}

impl ProfileRequest {
    /// A profile of this length with a sample at each interval.
    pub fn new(duration: Duration, interval: Duration) -> Self {
        Self { duration, interval }
    }
}
