/// What a [`SandboxPool`] has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct PoolStatistics {
    /// Sandboxes that there are now.
    pub sandboxes: usize,
    /// Of them, those that nobody uses.
    pub idle: usize,
    /// The most that there were at once.
    pub most_sandboxes: usize,
    /// Sessions and calls that got a sandbox.
    pub sessions: u64,
    /// Sandboxes that were made.
    pub created: u64,
    /// Sandboxes that could not be reset and were discarded.
    pub discarded: u64,
    /// Who had to wait for one.
    pub waited: u64,
    /// Who was refused.
    pub refused: u64,
}
