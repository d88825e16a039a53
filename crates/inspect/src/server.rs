//! The side that is looked at. A process has one endpoint, whoever of it wants to be seen.

use crate::directory::RuntimeDirectory;
use crate::endpoint::Endpoint;
use crate::event_loop::EventLoop;
use crate::subject::Subject;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How long a process waits before it makes its socket. A program that has ended by then never makes one, and does not pay for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delay(pub Duration);

impl Delay {
    /// None: the socket is there as soon as may be.
    pub const NONE: Self = Self(Duration::ZERO);
}

/// 20 ms: what a small program takes, and no person notices.
impl Default for Delay {
    fn default() -> Self {
        Self(Duration::from_millis(20))
    }
}

/// The endpoint of this process. Of one that has ended nothing is left but this.
static ENDPOINT: Mutex<Option<Arc<Endpoint>>> = Mutex::new(None);

/// Lets other processes of this user, and root, look at a subject, as long as the returned value lives.
///
/// The first call starts a thread, `belljar-inspect`, which makes the socket after a delay; the calls after it share both, and the
/// delay. It costs as much as starting a thread. Whether there is a socket is told by [`Served::problem`] and [`Served::socket`].
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
///     fn profile(&self, _: &ProfileRequest, _: &dyn Fn() -> bool) -> anyhow::Result<Vec<u8>> {
///         anyhow::bail!("nothing runs")
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
/// Where no thread can be had.
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

/// The same through a socket in this directory, and with an endpoint of its own.
///
/// # Errors
///
/// Where no thread can be had.
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

/// A subject that others can look at. The last one that is dropped removes the socket and ends the thread; answers that are
/// under way are given, profiles end early.
///
/// In a process that was forked from the one that it was made in, it does nothing: the socket is the parent's.
#[must_use = "nobody can look any more once it is dropped"]
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
    /// The path of the socket, once there is one.
    pub fn socket(&self) -> Option<PathBuf> {
        self.endpoint.socket()
    }

    /// Why there is no socket, if something went wrong with it.
    pub fn problem(&self) -> Option<String> {
        self.endpoint.problem()
    }

    /// Lets the subject go as if it were dropped, and waits until those who asked have their answers, but no longer than this: for
    /// a process that is about to exit.
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
