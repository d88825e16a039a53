//! Everything that one guest was granted, and its open descriptors.
//!
//! Handles created by [`WasiCtx::share`] belong to the threads of one guest. The lock on the table is held for look-ups
//! only, never while a call blocks.

use belljar::{KillHandle, Limit, LimitExceeded};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::byte_quota::ByteQuota;
use crate::clocks::{HostCpuClock, HostMonotonicClock, HostWallClock};
use crate::descriptor::{Descriptor, Stream};
use crate::grants::Grants;
use crate::listing::ListingBudget;
use crate::network::{DeniedUse, NetworkPolicy};
use crate::p1::{Errno, Error};
use crate::random::HostRandom;
use crate::stream::{InputStream, OutputStream};
use crate::table::{DescriptorTable, Origin, Slot};

/// The WASI state of one guest: created by [`WasiCtxBuilder`](crate::WasiCtxBuilder), used by [`p1`](crate::p1).
pub struct WasiCtx {
    shared: Arc<Shared>,
    /// The kill handle of the store that called last.
    kill: Option<KillHandle>,
}

struct Shared {
    args: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
    wall_clock: Box<dyn HostWallClock>,
    monotonic_clock: Box<dyn HostMonotonicClock>,
    cpu_clock: Box<dyn HostCpuClock>,
    random: Mutex<Box<dyn HostRandom>>,
    max_random_size: u64,
    insecure_random: Option<Mutex<Box<dyn HostRandom>>>,
    insecure_seed: Option<u128>,
    initial_cwd: Option<String>,
    network: NetworkPolicy,
    /// How many descriptors are open as resources of WASI 0.2, which have no number in the table.
    resources: Arc<AtomicUsize>,
    interrupted: Box<dyn Fn() -> bool + Send + Sync>,
    stdin: Arc<dyn InputStream>,
    stdout: Arc<dyn OutputStream>,
    stderr: Arc<dyn OutputStream>,
    table: Mutex<DescriptorTable>,
    listings: ListingBudget,
    read_quota: ByteQuota,
    write_quota: ByteQuota,
    exceeded: Mutex<Vec<LimitExceeded>>,
}

/// A descriptor that is open as a resource.
pub(crate) struct OpenResource(Arc<AtomicUsize>);

impl Drop for OpenResource {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WasiCtx {
    pub(crate) fn new(grants: Grants) -> WasiCtx {
        let mut open = vec![
            Descriptor::Input(Stream::new(grants.stdin.clone())),
            Descriptor::Output(Stream::new(grants.stdout.clone())),
            Descriptor::Output(Stream::new(grants.stderr.clone())),
        ];
        open.extend(grants.preopens);
        WasiCtx {
            shared: Arc::new(Shared {
                args: grants.args,
                env: grants.env,
                wall_clock: grants.wall_clock,
                monotonic_clock: grants.monotonic_clock,
                cpu_clock: grants.cpu_clock,
                random: Mutex::new(grants.random),
                max_random_size: grants.max_random_size,
                insecure_random: grants.insecure_random.map(Mutex::new),
                insecure_seed: grants.insecure_seed,
                initial_cwd: grants.initial_cwd,
                network: grants.network,
                resources: Arc::default(),
                interrupted: grants.interrupted,
                stdin: grants.stdin,
                stdout: grants.stdout,
                stderr: grants.stderr,
                table: Mutex::new(DescriptorTable::new(open, grants.max_descriptors)),
                listings: ListingBudget::default(),
                read_quota: ByteQuota::new(grants.max_bytes_read),
                write_quota: ByteQuota::new(grants.max_bytes_written),
                exceeded: Mutex::default(),
            }),
            kill: None,
        }
    }

    /// Returns another handle to the same context, for another thread of the same guest: both share descriptors, arguments,
    /// clocks and randomness.
    pub fn share(&self) -> WasiCtx {
        WasiCtx { shared: self.shared.clone(), kill: None }
    }

    /// Returns the limits that the guest has exceeded, each once, in the order of their first refusal. The guest itself
    /// only saw an errno; [`LimitExceeded`] prints as a message.
    pub fn limits_exceeded(&self) -> Vec<LimitExceeded> {
        lock(&self.shared.exceeded).clone()
    }

    fn record_exceeded(&self, exceeded: LimitExceeded) {
        let mut all = lock(&self.shared.exceeded);
        if all.iter().all(|known| known.limit() != exceeded.limit()) {
            all.push(exceeded);
        }
    }

    /// Returns the quota of bytes that the guest may read.
    pub(crate) fn read_quota(&self) -> &ByteQuota {
        &self.shared.read_quota
    }

    /// Returns the quota of bytes that the guest may write.
    pub(crate) fn write_quota(&self) -> &ByteQuota {
        &self.shared.write_quota
    }

    /// Records that the read quota is used up.
    pub(crate) fn read_quota_exceeded(&self) -> Errno {
        self.record_exceeded(LimitExceeded::new(Limit::BytesRead, None, self.read_quota().total()));
        Errno::Io
    }

    /// Records that the write quota is used up.
    pub(crate) fn write_quota_exceeded(&self) -> Errno {
        self.record_exceeded(LimitExceeded::new(Limit::BytesWritten, None, self.write_quota().total()));
        Errno::Dquot
    }

    /// Returns whether the last caller was another store, or there was none.
    pub(crate) fn is_new_caller(&self, store: u64) -> bool {
        self.kill.as_ref().is_none_or(|kill| kill.store_id() != store)
    }

    /// Records the kill handle of the calling store, so that a kill also ends blocking calls.
    pub(crate) fn set_caller(&mut self, kill: KillHandle) {
        self.kill = Some(kill);
    }

    /// Returns whether the embedder wants the guest to end. Operations that may take longer than a millisecond check
    /// this periodically, because a thread in the host cannot be interrupted from outside.
    pub(crate) fn must_end(&self) -> bool {
        self.kill.as_ref().is_some_and(KillHandle::is_killed) || (self.shared.interrupted)()
    }

    pub(crate) fn args(&self) -> &[Vec<u8>] {
        &self.shared.args
    }

    pub(crate) fn env(&self) -> &[Vec<u8>] {
        &self.shared.env
    }

    pub(crate) fn wall_clock(&self) -> &dyn HostWallClock {
        &*self.shared.wall_clock
    }

    pub(crate) fn monotonic_clock(&self) -> &dyn HostMonotonicClock {
        &*self.shared.monotonic_clock
    }

    pub(crate) fn cpu_clock(&self) -> &dyn HostCpuClock {
        &*self.shared.cpu_clock
    }

    /// Returns how many random bytes the guest may ask for at once.
    pub(crate) fn max_random_size(&self) -> u64 {
        self.shared.max_random_size
    }

    pub(crate) fn random(&self) -> MutexGuard<'_, Box<dyn HostRandom>> {
        lock(&self.shared.random)
    }

    /// Returns the source of random bytes that need not be secret.
    pub(crate) fn insecure_random(&self) -> MutexGuard<'_, Box<dyn HostRandom>> {
        self.shared.insecure_random.as_ref().map_or_else(|| self.random(), lock)
    }

    /// Returns the seed that the embedder has set for hash maps.
    pub(crate) fn insecure_seed(&self) -> Option<u128> {
        self.shared.insecure_seed
    }

    pub(crate) fn initial_cwd(&self) -> Option<&str> {
        self.shared.initial_cwd.as_deref()
    }

    pub(crate) fn stdin(&self) -> Arc<dyn InputStream> {
        self.shared.stdin.clone()
    }

    pub(crate) fn stdout(&self) -> Arc<dyn OutputStream> {
        self.shared.stdout.clone()
    }

    pub(crate) fn stderr(&self) -> Arc<dyn OutputStream> {
        self.shared.stderr.clone()
    }

    pub(crate) fn network(&self) -> &NetworkPolicy {
        &self.shared.network
    }

    /// Returns what the guest wanted of the network and was denied: the first such uses, each once, in their order. The
    /// guest itself only saw an error code.
    ///
    /// ```
    /// let ctx = belljar_wasi::WasiCtxBuilder::new().build();
    /// // ... run a guest ...
    /// for denied in ctx.denied_uses() {
    ///     eprintln!("the guest was denied {denied}");
    /// }
    /// ```
    pub fn denied_uses(&self) -> Vec<DeniedUse> {
        self.shared.network.denied()
    }

    /// Counts a descriptor that is a resource, and not in the table, against the limit as long as the value lives.
    pub(crate) fn open_resource(&self) -> Result<OpenResource, Errno> {
        let table = self.table();
        let (open, limit) = (table.count() + self.shared.resources.load(Relaxed), table.limit());
        drop(table);
        if open >= limit {
            return Err(self.descriptors_exceeded(limit));
        }
        self.shared.resources.fetch_add(1, Relaxed);
        Ok(OpenResource(self.shared.resources.clone()))
    }

    pub(crate) fn listings(&self) -> &ListingBudget {
        &self.shared.listings
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, DescriptorTable> {
        lock(&self.shared.table)
    }

    pub(crate) fn descriptor(&self, fd: u32) -> Result<Arc<Descriptor>, Errno> {
        self.table().get(fd).ok_or(Errno::Badf)
    }

    pub(crate) fn insert(&self, descriptor: Descriptor, origin: Origin) -> Result<u32, Errno> {
        let mut table = self.table();
        let limit = table.limit();
        table.insert(descriptor, origin).ok_or_else(|| self.descriptors_exceeded(limit))
    }

    /// Returns an open descriptor and its origin.
    pub(crate) fn slot(&self, fd: u32) -> Result<Slot, Errno> {
        self.table().slot(fd).cloned().ok_or(Errno::Badf)
    }

    /// Checks that there is room for another descriptor, before a call has side effects.
    pub(crate) fn check_room(&self) -> Result<(), Errno> {
        let table = self.table();
        if table.has_room() { Ok(()) } else { Err(self.descriptors_exceeded(table.limit())) }
    }

    fn descriptors_exceeded(&self, limit: usize) -> Errno {
        let limit = limit as u64;
        self.record_exceeded(LimitExceeded::new(Limit::Descriptors, Some(limit + 1), limit));
        Errno::Mfile
    }

    /// Returns an error if the guest must end; long operations call this periodically.
    pub(crate) fn check_interrupt(&self) -> Result<(), Error> {
        match self.must_end() {
            true => Err(Error::Trap("interrupted in the middle of a WASI call".into())),
            false => Ok(()),
        }
    }

    /// Repeats a system call while signals interrupt it, unless the embedder wants the guest to end.
    pub(crate) fn restart<T>(&self, mut call: impl FnMut() -> io::Result<T>) -> Result<T, Error> {
        loop {
            match call() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if self.must_end() {
                        return Err(Error::Trap("interrupted while blocked in a WASI call".into()));
                    }
                }
                done => return done.map_err(|error| Error::Errno(error.into())),
            }
        }
    }
}

impl std::fmt::Debug for WasiCtx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasiCtx").field("args", &self.args().len()).finish_non_exhaustive()
    }
}
