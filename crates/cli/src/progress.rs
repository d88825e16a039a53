//! Shows progress on the terminal during long work: a bar if the amount of work is known, otherwise a spinner. It is
//! erased at the end, and never shown if standard error is not a terminal.

use belljar::{CompileStage, CompileTimes, Config, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long to wait before showing progress, so that short work shows none.
const SHOW_AFTER: Duration = Duration::from_millis(500);

/// The time between redraws.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// The progress of the latest compilation. Clones share it. A meter that is never set stands for work of unknown
/// length.
#[derive(Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<MeterReading>>);

/// The state of a meter.
#[derive(Clone, Default)]
pub(crate) struct MeterReading {
    done: u64,
    total: u64,
    /// The times when the stages began.
    pub(crate) stages: Vec<(CompileStage, Instant)>,
    /// The time spent on functions, summed over threads.
    pub(crate) times: CompileTimes,
}

impl Meter {
    /// Creates a meter for compilations with this configuration.
    pub(crate) fn of(config: &mut Config) -> Self {
        let meter = Self::default();
        let updated = meter.clone();
        config.compile_progress(move |progress| updated.set(progress));
        meter
    }

    fn set(&self, progress: Progress) {
        let mut reading = self.lock();
        if progress.stage == CompileStage::Validation {
            *reading = MeterReading::default();
        }
        if reading.stages.last().is_none_or(|(stage, _)| *stage != progress.stage) {
            reading.stages.push((progress.stage, Instant::now()));
        }
        (reading.done, reading.total, reading.times) = (progress.done, progress.total, progress.times);
    }

    /// Returns the current state.
    pub(crate) fn read(&self) -> MeterReading {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, MeterReading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `work`. If it takes longer than half a second and standard error is a terminal, shows `message` and the meter.
pub(crate) fn with_progress<R>(
    message: impl FnOnce() -> String,
    meter: &Meter,
    work: impl FnOnce() -> R,
) -> R {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    // Clears the state of previous work.
    *meter.lock() = MeterReading::default();
    let (message, meter) = (message(), meter.clone());
    let (done, is_done) = mpsc::channel::<()>();
    // If no thread can be started, the work is done without showing progress.
    let thread = std::thread::Builder::new().spawn(move || show(message, &meter, &is_done));
    let result = work();
    drop(done);
    if let Ok(thread) = thread {
        let _ = thread.join();
    }
    result
}

/// Shows the meter until the sender is dropped.
fn show(message: String, meter: &Meter, is_done: &Receiver<()>) {
    if is_done.recv_timeout(SHOW_AFTER) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let mut display = ProgressDisplay::new(ProgressDrawTarget::stderr(), message);
    loop {
        display.draw(&meter.read());
        if is_done.recv_timeout(REDRAW_INTERVAL) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    display.erase();
}

/// The line on the terminal.
struct ProgressDisplay {
    line: ProgressBar,
    is_bar: bool,
}

impl ProgressDisplay {
    fn new(target: ProgressDrawTarget, message: String) -> Self {
        let line = ProgressBar::with_draw_target(None, target).with_elapsed(SHOW_AFTER).with_message(message);
        Self { line: line.with_style(style("{spinner} {msg} ({elapsed})")), is_bar: false }
    }

    fn draw(&mut self, reading: &MeterReading) {
        if reading.total == 0 {
            return self.line.tick();
        }
        if !self.is_bar {
            self.is_bar = true;
            let bar = style("{msg} [{bar:30}] {percent:>3} % ({elapsed})");
            self.line.set_style(bar.progress_chars("=> "));
        }
        self.line.update(|state| {
            state.set_len(reading.total);
            state.set_pos(reading.done);
        });
    }

    fn erase(&self) {
        self.line.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use std::io;

    /// A terminal with one line.
    #[derive(Clone, Default, Debug)]
    struct Line(Arc<Mutex<String>>);

    impl Line {
        /// Returns its text, without the time.
        fn shown(&self) -> String {
            self.0.lock().unwrap().split(" (").next().unwrap().to_string()
        }
    }

    impl TermLike for Line {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.0.lock().unwrap().clear();
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_spinner_becomes_a_bar_and_goes_away() {
        let line = Line::default();
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(line.clone()), 255);
        let mut display = ProgressDisplay::new(target, "compiling a.wasm".into());
        let mut draw = |done, total| {
            display.draw(&MeterReading { done, total, ..MeterReading::default() });
            display.line.force_draw();
            line.shown()
        };
        assert!(draw(0, 0).ends_with(" compiling a.wasm"), "{}", line.shown());
        let half = format!("compiling a.wasm [{}>{}]  50 %", "=".repeat(15), " ".repeat(14));
        assert_eq!(draw(500, 1000), half);
        assert_eq!(draw(1000, 1000), format!("compiling a.wasm [{}] 100 %", "=".repeat(30)));
        display.erase();
        assert_eq!(line.shown(), "");
    }

    #[test]
    fn a_meter_knows_when_each_stage_began() {
        let mut config = Config::new();
        let meter = Meter::of(&mut config);
        let engine = belljar::Engine::new(&config).unwrap();
        for _ in 0..2 {
            belljar::Module::new(&engine, "(module (func) (func))").unwrap();
            let reading = meter.read();
            let stages: Vec<_> = reading.stages.iter().map(|(stage, _)| *stage).collect();
            use CompileStage::{Compilation, Finished, Linking, Validation};
            assert_eq!(stages, [Validation, Compilation, Linking, Finished]);
            assert!(reading.done == reading.total && reading.total > 0);
        }
    }
}
