//! CPU usage of stores and processes, as the difference between two polls.

use belljar_inspect::{ProcessReport, StoreReport};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// CPU times at one poll.
pub(super) struct CpuTimes {
    at: Instant,
    processes: HashMap<u32, Duration>,
    /// By process, store and thread.
    threads: HashMap<(u32, u64, u32), Duration>,
}

impl CpuTimes {
    /// Records the times in these reports.
    pub(super) fn of(reports: &[ProcessReport]) -> Self {
        let threads = reports.iter().flat_map(|process| {
            process.stores.iter().filter_map(|store| {
                let thread = store.thread.as_ref()?;
                Some(((process.pid, store.id, thread.id), thread.cpu))
            })
        });
        Self {
            at: Instant::now(),
            processes: reports.iter().map(|process| (process.pid, process.cpu)).collect(),
            threads: threads.collect(),
        }
    }

    /// Returns the share of one CPU that a store has used since `then`, or its process if `store` is `None`. If a
    /// process has a single store, everything that the process used counts for it. Of several stores, each counts what
    /// its thread used: nothing if it was idle at either poll, or if it is a sandbox session that began in between.
    pub(super) fn share_since(
        &self,
        then: &Self,
        process: &ProcessReport,
        store: Option<&StoreReport>,
    ) -> f64 {
        let used = match store {
            Some(store) if process.stores.len() > 1 => store.thread.as_ref().and_then(|thread| {
                let key = (process.pid, store.id, thread.id);
                Some(self.threads.get(&key)?.saturating_sub(*then.threads.get(&key)?))
            }),
            _ => {
                let before = then.processes.get(&process.pid);
                // It may have started since.
                Some(process.cpu.saturating_sub(before.copied().unwrap_or_default()))
            }
        };
        let passed = self.at.saturating_duration_since(then.at).as_secs_f64().max(0.001);
        used.unwrap_or_default().as_secs_f64() / passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use belljar_inspect::{StoreState, ThreadReport};
    use serde_json::json;

    fn process(cpu_ms: u64, threads: &[u64]) -> ProcessReport {
        let mut process: ProcessReport =
            serde_json::from_value(json!({"pid": 1, "version": "", "uptime_ns": 0,
            "cpu_ns": cpu_ms * 1_000_000, "command": [], "stores": []}))
            .unwrap();
        for (i, ms) in threads.iter().enumerate() {
            let mut store = StoreReport::new(i as u64, StoreState::Guest);
            store.thread = Some(ThreadReport::new(i as u32, "", Duration::from_millis(*ms)));
            process.stores.push(store);
        }
        process
    }

    /// Returns the shares of a process and its stores after one second.
    fn shares(before: &[ProcessReport], after: &ProcessReport) -> Vec<f64> {
        let then = CpuTimes::of(before);
        let mut now = CpuTimes::of(std::slice::from_ref(after));
        now.at = then.at + Duration::from_secs(1);
        let stores = after.stores.iter().map(Some);
        [None].into_iter().chain(stores).map(|store| now.share_since(&then, after, store)).collect()
    }

    #[test]
    fn a_share_is_what_was_used_of_the_time() {
        assert_eq!(shares(&[process(1000, &[])], &process(1500, &[])), [0.5]);
        // With one store, the process's other threads count for it.
        assert_eq!(shares(&[process(1000, &[700])], &process(3000, &[800])), [2.0, 2.0]);
        assert_eq!(shares(&[process(1000, &[1, 2])], &process(2000, &[501, 252])), [1.0, 0.5, 0.25]);
    }

    #[test]
    fn what_was_not_there_before_is_no_surprise() {
        assert_eq!(shares(&[], &process(500, &[])), [0.5]);
        assert_eq!(shares(&[process(0, &[])], &process(500, &[900, 900])), [0.5, 0.0, 0.0]);
        // A different process with the same id.
        assert_eq!(shares(&[process(900, &[])], &process(500, &[])), [0.0]);
    }
}
