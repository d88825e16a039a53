//! Profiles of guests: samples of stacks, and the file formats to view them in.
//!
//! In: a sampler ([`ProfileBuilder`]) periodically adds a thread's stack and the CPU time that
//! it stands for. Out: a [`Profile`], which can be queried ([`Profile::summary`]), written ([`ProfileFormat`]) or sent
//! to another process (it is `Serialize` and `Deserialize`).
//! Never: stops a guest, measures time, or knows about wasm. Names and lines are passed in and are untrusted,
//! and so is a profile from another process.
//!
//! ```text
//! ProfileFrame (guest, host, runtime) ──▶ FrameId ─┐
//!                           time, thread, weight ──┴▶ Stacks, SampleLog ──▶ Profile
//! Profile ──▶ flame graph, Firefox Profiler, pprof, collapsed stacks, summary
//! Profile ◀─▶ ProfileData, numbers and names ◀─▶ JSON
//! ```
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `pprof`, on by default | writing [`ProfileFormat::Pprof`] |
//! | `flamegraph` | writing [`ProfileFormat::FlameGraph`], with inferno, which is licensed under the CDDL-1.0 |

mod builder;
mod collapsed;
mod firefox;
#[cfg(feature = "flamegraph")]
mod flame_graph;
mod format;
mod frame;
mod limits;
#[cfg(feature = "pprof")]
mod pprof;
mod profile;
mod profile_data;
#[cfg(feature = "pprof")]
mod proto;
mod sample_log;
mod stacks;
mod summary;
#[cfg(test)]
mod test_profiles;
mod write;

pub use builder::ProfileBuilder;
pub use format::{ProfileFormat, UnknownProfileFormat};
pub use frame::{FrameKind, ProfileFrame};
pub use profile::{Profile, ProfileSample, ProfileThread};
pub use stacks::FrameId;
pub use summary::{FunctionTime, ProfileSummary};
