//! The server. A process has one endpoint, shared by all subjects in it.

use crate::directory::RuntimeDirectory;
use crate::endpoint::Endpoint;
use crate::event_loop::EventLoop;
use crate::subject::Subject;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How long a process waits before it creates its socket. A program that ends earlier never creates one and saves the
/// cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delay(pub Duration);

impl Delay {
    /// No delay: the socket is created as soon as possible.
    pub const NONE: Self = Self(Duration::ZERO);
}

/// 20 ms: the run time of a small program, and too short for people to notice.
impl Default for Delay {
    fn default() -> Self {
        Self(Duration::from_millis(20))
    }
}

/// The endpoint of this process. After it has ended, only this reference is left.
static ENDPOINT: Mutex<Option<Arc<Endpoint>>> = Mutex::new(None);

/// Lets other processes of this user, and root, inspect a subject for as long as the returned value lives.
///
/// The first call starts a thread, `belljar-inspect`, which creates the socket after a delay; later calls share both,
/// and the delay of the first. The cost is that of starting a thread. [`Served::problem`] and [`Served::socket`] tell
/// whether there is a socket.
///
/// ```
/// use belljar_inspect::{Delay, Detail, ProfileRequest, StoreReport, StoreState, Subject, serve};
/// use std::sync::{Arc, Weak};
///
/// struct Guests;
///
/// impl Subject for Guests {
///     fn stores(&self, _: Detail) -> Vec<StoreReport> {
///         vec![StoreReport::new(1, StoreState::Idle)]
///     }
///     fn profile(&self, _: &ProfileRequest, _: &dyn Fn() -> bool) -> belljar_core::Result<Vec<u8>> {
///         belljar_core::bail!("nothing runs")
///     }
///     fn kill(&self, _: Option<u64>, _: &str) -> usize {
///         0
///     }
/// }
///
/// let guests: Arc<dyn Subject> = Arc::new(Guests);
/// let served = serve(Arc::downgrade(&guests), Delay::default())?;
/// // … from now on `belljar ps` shows this process, until:
/// drop(served);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Returns an error if the thread cannot be started.
pub fn serve(subject: Weak<dyn Subject>, delay: Delay) -> io::Result<Served> {
    let mut endpoint = ENDPOINT.lock().unwrap_or_else(PoisonError::into_inner);
    let shared = endpoint.as_ref().and_then(|endpoint| Some((endpoint.clone(), endpoint.add(&subject)?)));
    if let Some((endpoint, number)) = shared {
        return Ok(Served { endpoint, number });
    }
    let served = start(RuntimeDirectory::of_process, subject, delay)?;
    *endpoint = Some(served.endpoint.clone());
    Ok(served)
}

/// Serves a subject through a socket in this directory, with an endpoint of its own.
///
/// # Errors
///
/// Returns an error if the thread cannot be started.
pub fn serve_in(directory: RuntimeDirectory, subject: Weak<dyn Subject>, delay: Delay) -> io::Result<Served> {
    start(|| Ok(directory), subject, delay)
}

fn start(
    directory: impl FnOnce() -> io::Result<RuntimeDirectory> + Send + 'static,
    subject: Weak<dyn Subject>,
    delay: Delay,
) -> io::Result<Served> {
    let serve = |endpoint, listener| EventLoop::new(endpoint, listener).run();
    let (endpoint, number) = Endpoint::start(directory, subject, delay.0, serve)?;
    Ok(Served { endpoint, number })
}

/// A subject that other processes can inspect. Dropping the last one removes the socket and ends the thread; pending
/// responses are sent, and profiles end early.
///
/// In a fork of the process that created it, it does nothing: the socket belongs to the parent.
#[must_use = "dropping it ends the inspection"]
pub struct Served {
    endpoint: Arc<Endpoint>,
    number: u64,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").field("socket", &self.socket()).finish_non_exhaustive()
    }
}

impl Served {
    /// Returns the path of the socket, once it exists.
    pub fn socket(&self) -> Option<PathBuf> {
        self.endpoint.socket()
    }

    /// Returns why there is no socket, if creating it failed.
    pub fn problem(&self) -> Option<String> {
        self.endpoint.problem()
    }

    /// Drops the subject and waits until pending requests are answered, but no longer than `patience`: for a process
    /// that is about to exit.
    pub fn end(self, patience: Duration) {
        let endpoint = self.endpoint.clone();
        drop(self);
        endpoint.wait_for_responses(patience);
    }

    #[cfg(test)]
    pub(crate) fn add(&self, subject: &Weak<dyn Subject>) -> Option<Self> {
        Some(Self { endpoint: self.endpoint.clone(), number: self.endpoint.add(subject)? })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.endpoint.remove(self.number);
    }
}
