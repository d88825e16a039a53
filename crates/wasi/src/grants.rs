//! Everything that an embedder grants to one guest.

use std::sync::Arc;

use crate::clocks::{
    HostCpuClock, HostMonotonicClock, HostWallClock, MonotonicClock, SystemCpuClock, WallClock,
};
use crate::descriptor::Descriptor;
use crate::network::NetworkPolicy;
use crate::random::{DEFAULT_MAX_SIZE, HostRandom, SystemRandom};
use crate::stdio::{Empty, Sink};
use crate::stream::{InputStream, OutputStream};

/// Default limit on a guest's open descriptors.
const DEFAULT_MAX_DESCRIPTORS: usize = 1024;

/// What a [`WasiCtx`](crate::WasiCtx) is created from. The default grants clocks and randomness only.
pub(crate) struct Grants {
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) env: Vec<Vec<u8>>,
    pub(crate) stdin: Arc<dyn InputStream>,
    pub(crate) stdout: Arc<dyn OutputStream>,
    pub(crate) stderr: Arc<dyn OutputStream>,
    pub(crate) preopens: Vec<Descriptor>,
    pub(crate) wall_clock: Box<dyn HostWallClock>,
    pub(crate) monotonic_clock: Box<dyn HostMonotonicClock>,
    pub(crate) cpu_clock: Box<dyn HostCpuClock>,
    pub(crate) random: Box<dyn HostRandom>,
    pub(crate) max_random_size: u64,
    /// `None`: the same as `random`.
    pub(crate) insecure_random: Option<Box<dyn HostRandom>>,
    /// `None`: taken from `random`.
    pub(crate) insecure_seed: Option<u128>,
    pub(crate) initial_cwd: Option<String>,
    pub(crate) network: NetworkPolicy,
    pub(crate) interrupted: Box<dyn Fn() -> bool + Send + Sync>,
    pub(crate) max_descriptors: usize,
    pub(crate) max_bytes_read: Option<u64>,
    pub(crate) max_bytes_written: Option<u64>,
}

impl Default for Grants {
    fn default() -> Grants {
        Grants {
            args: vec![],
            env: vec![],
            stdin: Arc::new(Empty),
            stdout: Arc::new(Sink),
            stderr: Arc::new(Sink),
            preopens: vec![],
            wall_clock: Box::new(WallClock),
            monotonic_clock: Box::new(MonotonicClock::new()),
            cpu_clock: Box::new(SystemCpuClock),
            random: Box::new(SystemRandom),
            max_random_size: DEFAULT_MAX_SIZE,
            insecure_random: None,
            insecure_seed: None,
            initial_cwd: None,
            network: NetworkPolicy::default(),
            interrupted: Box::new(|| false),
            max_descriptors: DEFAULT_MAX_DESCRIPTORS,
            max_bytes_read: None,
            max_bytes_written: None,
        }
    }
}
