//! Where guests spend their time: samples of stacks, and the files that people look at them in.
//!
//! In: from whoever stops threads and looks ([`ProfileBuilder`]), now and then, a thread's stack and the CPU time that
//! it stands for. Out: a [`Profile`], which can be asked ([`Profile::summary`]), written ([`ProfileFormat`]) or sent
//! to another process (it is `Serialize` and `Deserialize`).
//! Never: stopping a guest, measuring time, or knowing what wasm is. Names and lines are what it is told; they may be
//! anything, and so may a profile that another process sent.
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
