//! A table of the stores of running processes.

use crate::byte_size::ByteSize;
use belljar::OutsideText;
use belljar_inspect::{FrameReport, ProcessReport, StoreReport, StoreState};
use std::fmt;
use std::time::Duration;

/// The most characters of a function's name to show.
const MAX_NAME_CHARS: usize = 48;

/// The most characters of a sentence, a label or a module's name.
const MAX_TEXT_CHARS: usize = 100;

/// Escapes and truncates a text of another process.
fn truncate(text: &str, longest: usize) -> String {
    OutsideText::new(text).cut(longest).to_string()
}

/// Stands for a missing value.
const NONE: &str = "-";

/// Column titles, and whether a column holds numbers, which are right-aligned.
type Columns<const N: usize> = [(&'static str, bool); N];

const PS: Columns<6> =
    [("PID", true), ("TIME", true), ("CPU", true), ("MEMORY", true), ("STATE", false), ("MODULE", false)];

const TOP: Columns<7> = [
    ("PID", true),
    ("TIME", true),
    ("CPU", true),
    ("CPU%", true),
    ("MEMORY", true),
    ("STATE", false),
    ("MODULE", false),
];

/// Rows of text in columns.
pub(crate) struct Table<const N: usize> {
    columns: Columns<N>,
    rows: Vec<[String; N]>,
}

impl Table<6> {
    /// Creates a table with a row for each store of each process.
    pub(crate) fn of(reports: &[ProcessReport]) -> Self {
        let rows = reports.iter().flat_map(|process| lines(process).map(move |line| line.cells(process)));
        Self { columns: PS, rows: rows.collect() }
    }
}

impl Table<7> {
    /// Creates a table with CPU shares in percent, sorted by them. The share is that of a store, or of a process
    /// without stores.
    pub(crate) fn with_shares(
        reports: &[ProcessReport],
        share: impl Fn(&ProcessReport, Option<&StoreReport>) -> f64,
    ) -> Self {
        let mut rows = Vec::new();
        for process in reports {
            for line in lines(process) {
                let share = share(process, line.0);
                let [pid, time, cpu, memory, state, module] = line.cells(process);
                rows.push((share, [pid, time, cpu, format!("{share:.1}"), memory, state, module]));
            }
        }
        // Stable: rows with equal shares stay sorted by process and store.
        rows.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        Self { columns: TOP, rows: rows.into_iter().map(|(_, cells)| cells).collect() }
    }
}

/// A row: a store, or a process without stores.
struct Line<'a>(Option<&'a StoreReport>);

fn lines(process: &ProcessReport) -> impl Iterator<Item = Line<'_>> {
    let none = process.stores.is_empty().then_some(Line(None));
    process.stores.iter().map(|store| Line(Some(store))).chain(none)
}

impl Line<'_> {
    fn cells(&self, process: &ProcessReport) -> [String; 6] {
        let of_store =
            |format_cell: fn(&StoreReport) -> String| self.0.map_or_else(|| NONE.into(), format_cell);
        [
            process.pid.to_string(),
            clock(process.uptime),
            format!("{:.1}", process.cpu.as_secs_f64()),
            of_store(|store| ByteSize(store.memory_bytes).to_string()),
            of_store(state),
            of_store(|store| {
                label(store).map_or_else(|| NONE.into(), |label| truncate(label, MAX_TEXT_CHARS))
            }),
        ]
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = self.columns.map(|(title, _)| title.to_string());
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&titles]).map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        };
        let widths: [usize; N] = std::array::from_fn(width);
        for row in [&titles].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), (_, is_number)) in row.iter().zip(widths).zip(self.columns) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                let cell = if is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
                line.push_str(&cell);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Returns the label that the embedder set, or the name of the running module.
pub(crate) fn label(store: &StoreReport) -> Option<&str> {
    store.label.as_deref().or_else(|| store.frames.first()?.module.as_deref())
}

/// Names a store and says how old it is: `store 1 (sort.wasm, 12.3 s old)`.
pub(crate) fn title(store: &StoreReport) -> String {
    let label = label(store).map(|label| truncate(label, MAX_TEXT_CHARS) + ", ").unwrap_or_default();
    format!("store {} ({label}{} old)", store.id, span(store.age))
}

/// Describes what a store's guest is doing, on one line.
pub(crate) fn state(store: &StoreReport) -> String {
    match &store.state {
        StoreState::Idle => "idle".into(),
        StoreState::Guest => match store.frames.first() {
            Some(frame) => format!("running {}", function(frame)),
            None => "running".into(),
        },
        StoreState::Host { function, runtime, since, .. } => {
            let place = match (function, runtime) {
                (Some(function), _) => format!("in host call {}", truncate(function, MAX_NAME_CHARS)),
                (None, Some(work)) => format!("in the runtime ({})", truncate(work, MAX_NAME_CHARS)),
                (None, None) => "in the host".into(),
            };
            match since {
                Some(time) => format!("{place} for {}", span(*time)),
                None => place,
            }
        }
        StoreState::Unknown { reason } => format!("unknown: {}", truncate(reason, MAX_TEXT_CHARS)),
        _ => "unknown".into(),
    }
}

/// Returns the name of the innermost function of a frame.
fn function(frame: &FrameReport) -> String {
    let symbol = frame.symbols.first().and_then(|symbol| symbol.name.as_deref());
    match symbol.or(frame.func_name.as_deref()) {
        Some(name) => truncate(name, MAX_NAME_CHARS),
        None => format!("function {}", frame.func_index),
    }
}

/// Formats a duration as on a clock: `2:03`, `1:02:03`.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Formats a duration for a sentence: `12.3 s`, from one minute on as on a clock.
pub(crate) fn span(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        _ => clock(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn process(pid: u32, stores: serde_json::Value) -> ProcessReport {
        let report = json!({"pid": pid, "version": "0.1.0", "uptime_ns": 3_723_000_000_000_u64,
            "cpu_ns": 12_340_000_000_u64, "command": ["belljar"], "stores": stores});
        serde_json::from_value(report).unwrap()
    }

    fn store(id: u64, state: StoreState) -> StoreReport {
        let mut store = StoreReport::new(id, state);
        store.memory_bytes = 64 << 10;
        store
    }

    #[test]
    fn states_are_told_in_words() {
        let host = |function: Option<&str>, since| StoreState::Host {
            function: function.map(Into::into),
            runtime: None,
            since,
        };
        let message = |state: StoreState| super::state(&store(1, state));
        assert_eq!(message(StoreState::Idle), "idle");
        assert_eq!(message(StoreState::Guest), "running");
        let time = Some(Duration::from_millis(12_345));
        assert_eq!(message(host(Some("env::wait"), time)), "in host call env::wait for 12.3 s");
        assert_eq!(message(host(None, Some(Duration::from_secs(125)))), "in the host for 2:05");
        let runtime = Some("memory.fill".into());
        assert_eq!(
            message(StoreState::Host { function: None, runtime, since: None }),
            "in the runtime (memory.fill)"
        );
        assert_eq!(message(StoreState::Unknown { reason: "it\nhides".into() }), "unknown: it\\nhides");
        let mut running = store(1, StoreState::Guest);
        running.frames = vec![FrameReport::new(3, "")];
        assert_eq!(super::state(&running), "running function 3");
        running.frames[0].func_name = Some("sort_array".into());
        assert_eq!(super::state(&running), "running sort_array");
    }

    #[test]
    fn columns_are_aligned() {
        let stores = [store(1, StoreState::Guest), store(2, StoreState::Idle)];
        let mut busy = process(4711, serde_json::to_value(stores).unwrap());
        busy.stores[1].label = Some("sort\u{1b}.wasm".into());
        let reports = [busy, process(5, json!([]))];
        let expected = " PID     TIME   CPU  MEMORY  STATE    MODULE
4711  1:02:03  12.3  64 KiB  running  -
4711  1:02:03  12.3  64 KiB  idle     sort\\u{1b}.wasm
   5  1:02:03  12.3       -  -        -
";
        assert_eq!(Table::of(&reports).to_string(), expected);
        let share = |process: &ProcessReport, store: Option<&StoreReport>| match store {
            Some(store) => store.id as f64 * 50.0,
            None => process.pid.into(),
        };
        let expected = " PID     TIME   CPU   CPU%  MEMORY  STATE    MODULE
4711  1:02:03  12.3  100.0  64 KiB  idle     sort\\u{1b}.wasm
4711  1:02:03  12.3   50.0  64 KiB  running  -
   5  1:02:03  12.3    5.0       -  -        -
";
        assert_eq!(Table::with_shares(&reports, share).to_string(), expected);
    }

    #[test]
    fn times_are_told_as_clocks_do() {
        let message = |seconds| clock(Duration::from_secs(seconds));
        assert_eq!(
            [message(0), message(61), message(3600), message(360_000)],
            ["0:00", "1:01", "1:00:00", "100:00:00"]
        );
    }
}
