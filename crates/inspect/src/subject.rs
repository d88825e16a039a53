//! What can be inspected.

use crate::report::{StoreReport, nanoseconds};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A provider of information about stores of this process and their guests.
///
/// Requests are handled on threads of the endpoint, several at once.
pub trait Subject: Send + Sync {
    /// Returns reports of its stores.
    fn stores(&self, detail: Detail) -> Vec<StoreReport>;

    /// Records a profile of its guests, for the requested duration or until `keep_recording` returns false because no
    /// client waits for it any more. The result is JSON of any shape.
    ///
    /// # Errors
    ///
    /// Returns an error if nothing can be recorded.
    fn profile(
        &self,
        wanted: &ProfileRequest,
        keep_recording: &dyn Fn() -> bool,
    ) -> belljar_core::Result<Vec<u8>>;

    /// Kills the guest of a store, by its id, or of all stores. Returns how many were running.
    fn kill(&self, store: Option<u64>, reason: &str) -> usize;
}

/// How much detail of each store to report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// The innermost frame, for lists of stores.
    Innermost,
    /// Stacks.
    Stacks {
        /// Every frame, instead of as many as people usually read.
        all_frames: bool,
    },
}

/// A request for a profile.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfileRequest {
    /// The duration of the recording.
    #[serde(rename = "duration_ns", with = "nanoseconds")]
    pub duration: Duration,
    /// The time between two samples.
    #[serde(rename = "interval_ns", with = "nanoseconds")]
    pub interval: Duration,
}

impl ProfileRequest {
    /// Creates a request for a profile of this duration with this sampling interval.
    pub fn new(duration: Duration, interval: Duration) -> Self {
        Self { duration, interval }
    }
}
