//! What a terminal shows while something takes long: a bar where it is known how much there is to do, otherwise a
//! spinner. Erased at the end, and never shown where standard error is no terminal.

use belljar::{CompileStage, CompileTimes, Config, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Quiet for this long, so that what is quick stays silent.
const SHOW_AFTER: Duration = Duration::from_millis(500);

/// Between two pictures.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// How far the compilation is that began last. Clones are the same meter; one that nobody sets is for work of which it is
/// not known how long it takes.
#[derive(Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<MeterReading>>);

/// What a meter shows.
#[derive(Clone, Default)]
pub(crate) struct MeterReading {
    done: u64,
    total: u64,
    /// When each stage began.
    pub(crate) stages: Vec<(CompileStage, Instant)>,
    /// What functions took, summed over threads.
    pub(crate) times: CompileTimes,
}

impl Meter {
    /// A meter of what engines with this configuration compile.
    pub(crate) fn of(config: &mut Config) -> Self {
        let meter = Self::default();
        let told = meter.clone();
        config.compile_progress(move |progress| told.set(progress));
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

    /// What it shows now.
    pub(crate) fn read(&self) -> MeterReading {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, MeterReading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `work`, and shows `message` and the meter on standard error while it lasts longer than half a second and that is a
/// terminal.
pub(crate) fn with_progress<R>(
    message: impl FnOnce() -> String,
    meter: &Meter,
    work: impl FnOnce() -> R,
) -> R {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    // It shows the work before this one.
    *meter.lock() = MeterReading::default();
    let (message, meter) = (message(), meter.clone());
    let (done, is_done) = mpsc::channel::<()>();
    // Where there is no thread to show it, the work is done all the same.
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

/// What is on the terminal.
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

    /// A terminal of one line.
    #[derive(Clone, Default, Debug)]
    struct Line(Arc<Mutex<String>>);

    impl Line {
        /// What is on it, without the time.
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
