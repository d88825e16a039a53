//! Runs a script, from text to report.

use super::directive::{Session, parse};
use super::report::{Failure, Report};
use belljar::error::Context;
use belljar::{Engine, Error};
use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread::{Scope, ScopedJoinHandle};
use wast::lexer::Lexer;
use wast::parser::ParseBuffer;
use wast::{WastDirective, WastThread};

/// Runs a script. `file` is the name used to report failures.
///
/// After a panic, the engine's state is not trusted: all later directives count as failed.
pub fn run_script(engine: &Engine, file: &Path, text: &str) -> Report {
    let mut report = Report::default();
    let fail = |line, message| Failure { file: file.to_path_buf(), line, message };
    let mut lexer = Lexer::new(text);
    // Some scripts test exactly these characters.
    lexer.allow_confusing_unicode(true);
    let buffer = match ParseBuffer::new_with_lexer(lexer) {
        Ok(buffer) => buffer,
        Err(error) => {
            report.fail(syntax_error(&error, text, fail));
            return report;
        }
    };
    let directives = match parse(&buffer) {
        Ok(directives) => directives,
        Err(error) => {
            report.fail(syntax_error(&error, text, fail));
            return report;
        }
    };
    let session = match Session::new(engine) {
        Ok(session) => session,
        Err(error) => {
            report.fail(fail(1, one_line(&error)));
            return report;
        }
    };
    std::thread::scope(|scope| {
        let mut runner = Runner { scope, file, text, session, threads: HashMap::new(), report };
        match runner.run(directives) {
            true => runner.report,
            false => {
                // Dropping a store whose invariants a panic broke could panic again.
                std::mem::forget(runner.session);
                runner.report
            }
        }
    })
}

/// Runs the directives of a script or of one of its threads.
struct Runner<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    file: &'env Path,
    text: &'env str,
    session: Session,
    /// Threads that were started and not joined yet.
    threads: HashMap<String, ScopedJoinHandle<'scope, Report>>,
    report: Report,
}

impl<'scope, 'env: 'scope> Runner<'scope, 'env> {
    /// Runs directives. Returns false if one panicked.
    fn run(&mut self, directives: Vec<WastDirective<'env>>) -> bool {
        let mut left = directives.len();
        for directive in directives {
            left -= 1;
            let line = directive.span().linecol_in(self.text).0 + 1;
            match catch_unwind(AssertUnwindSafe(|| self.directive(directive))) {
                Ok(Ok(())) => self.report.passed += 1,
                Ok(Err(error)) => self.fail(line, one_line(&error)),
                Err(panic) => {
                    let what = panic_text(&*panic);
                    self.fail(line, format!("panicked: {what} ({left} later directives not run)"));
                    self.report.failed += left;
                    return false;
                }
            }
        }
        true
    }

    fn fail(&mut self, line: usize, message: String) {
        self.report.fail(Failure { file: self.file.to_path_buf(), line, message });
    }

    fn directive(&mut self, directive: WastDirective<'env>) -> belljar::Result<()> {
        match directive {
            WastDirective::Thread(thread) => self.start(thread),
            WastDirective::Wait { thread, .. } => self.wait(thread.name()),
            other => self.session.run(other),
        }
    }

    /// Starts a thread with its own session.
    fn start(&mut self, thread: WastThread<'env>) -> belljar::Result<()> {
        let session = self.session.thread(thread.shared_module)?;
        let (scope, file, text) = (self.scope, self.file, self.text);
        let run = move || {
            let report = Report::default();
            let mut runner = Runner { scope, file, text, session, threads: HashMap::new(), report };
            if !runner.run(thread.directives) {
                std::mem::forget(runner.session);
            }
            runner.report
        };
        let started = std::thread::Builder::new().spawn_scoped(scope, run)?;
        self.threads.insert(thread.name.name().into(), started);
        Ok(())
    }

    /// Joins a thread, and merges its report into this one.
    fn wait(&mut self, name: &str) -> belljar::Result<()> {
        let thread =
            self.threads.remove(name).with_context(|| format!("there is no thread named ${name}"))?;
        // Propagates a panic as if there were no thread.
        let report = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        self.report.merge(report);
        Ok(())
    }
}

fn syntax_error(error: &wast::Error, text: &str, fail: impl Fn(usize, String) -> Failure) -> Failure {
    let line = error.span().linecol_in(text).0 + 1;
    fail(line, format!("not a spec script: {}", error.message()))
}

/// Formats an error with its causes on one line.
fn one_line(error: &Error) -> String {
    // Syntax errors of quoted modules have a source excerpt after their first line.
    let first_line = |cause: String| cause.lines().next().unwrap_or_default().to_string();
    let causes: Vec<String> = error.chain().map(|cause| first_line(cause.to_string())).collect();
    causes.join(": ")
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "no message",
    }
}
