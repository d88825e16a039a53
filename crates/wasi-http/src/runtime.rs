//! The thread on which the requests of all guests of a process run.
//!
//! It is started with the first request. Names are looked up on further threads, because the resolver of the C library blocks:
//! at most [`MAX_LOOKUPS`]. Other look-ups wait for one of these.

use std::future::Future;
use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use tokio::runtime::{Builder, Handle};
use tokio::task::AbortHandle;

/// How many names a process looks up at once.
const MAX_LOOKUPS: usize = 64;

/// A task of the network's thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Task(AbortHandle);

impl Task {
    /// Starts a task on the network's thread.
    ///
    /// # Errors
    ///
    /// Returns an error if the thread could not be started.
    pub(crate) fn start(future: impl Future<Output = ()> + Send + 'static) -> io::Result<Self> {
        Ok(Self(network_thread()?.spawn(future).abort_handle()))
    }

    /// Starts a task beside the one that calls.
    pub(crate) fn beside(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn network_thread() -> io::Result<Handle> {
    // With the process that it belongs to: a fork has none of its parent's threads.
    static THREAD: Mutex<Option<(u32, Handle)>> = Mutex::new(None);
    let mut thread = THREAD.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if let Some((of, handle)) = &*thread
        && *of == process
    {
        return Ok(handle.clone());
    }
    let handle = start()?;
    *thread = Some((process, handle.clone()));
    Ok(handle)
}

fn start() -> io::Result<Handle> {
    let (sender, receiver) = sync_channel(1);
    std::thread::Builder::new().name("wasi:http".into()).spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(MAX_LOOKUPS)
            .thread_name("name look-up")
            .build();
        match runtime {
            Ok(runtime) => {
                let _ = sender.send(Ok(runtime.handle().clone()));
                runtime.block_on(std::future::pending::<()>());
            }
            Err(error) => drop(sender.send(Err(error))),
        }
    })?;
    receiver.recv().map_err(io::Error::other)?
}
