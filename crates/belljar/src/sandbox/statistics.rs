/// Statistics of a [`SandboxPool`](crate::SandboxPool).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct PoolStatistics {
    /// Existing sandboxes, idle or in use.
    pub sandboxes: usize,
    /// Idle sandboxes.
    pub idle: usize,
    /// The most sandboxes that existed at once.
    pub most_sandboxes: usize,
    /// Sessions and calls that got a sandbox.
    pub sessions: u64,
    /// Sandboxes that were created.
    pub created: u64,
    /// Sandboxes that could not be reset and were discarded.
    pub discarded: u64,
    /// Calls and sessions that had to wait for a sandbox.
    pub waited: u64,
    /// Calls and sessions that were refused.
    pub refused: u64,
}
