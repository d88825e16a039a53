//! One script from text to report.

use super::directive::{Session, parse};
use super::report::{Failure, Report};
use anyhow::Error;
use belljar::{Engine, WasmBacktrace};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use wast::lexer::Lexer;
use wast::parser::ParseBuffer;

/// Runs a script. `file` is the name under which failures are reported.
///
/// After a panic the engine's state is not trusted: the directives that follow count as failed.
pub fn run_script(engine: &Engine, file: &Path, text: &str) -> Report {
    let mut report = Report::default();
    let fail = |line, message| Failure { file: file.to_path_buf(), line, message };
    let mut lexer = Lexer::new(text);
    // Some scripts test exactly such characters.
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
    let mut session = match Session::new(engine) {
        Ok(session) => session,
        Err(error) => {
            report.fail(fail(1, one_line(&error)));
            return report;
        }
    };
    let mut left = directives.len();
    for directive in directives {
        left -= 1;
        let line = directive.span().linecol_in(text).0 + 1;
        match catch_unwind(AssertUnwindSafe(|| session.run(directive))) {
            Ok(Ok(())) => report.passed += 1,
            Ok(Err(error)) => report.fail(fail(line, one_line(&error))),
            Err(panic) => {
                let message = format!("panicked: {} ({left} later directives not run)", panic_text(&*panic));
                report.fail(fail(line, message));
                report.failed += left;
                // Dropping a store whose invariants a panic broke could panic again.
                std::mem::forget(session);
                return report;
            }
        }
    }
    report
}

fn syntax_error(error: &wast::Error, text: &str, fail: impl Fn(usize, String) -> Failure) -> Failure {
    let line = error.span().linecol_in(text).0 + 1;
    fail(line, format!("not a spec script: {}", error.message()))
}

/// An error with its causes.
fn one_line(error: &Error) -> String {
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string);
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if Some(&cause) == backtrace.as_ref() {
            continue;
        }
        // Syntax errors of quoted modules carry a picture after their first line.
        causes.push(cause.lines().next().unwrap_or_default().into());
    }
    causes.join(": ")
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "no message",
    }
}
