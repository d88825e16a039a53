//! `wasi:cli`: arguments, variables, standard streams, the end of the program.

use super::interface::Interfaces;
use super::stdio::{StandardInput, StandardOutput};
use super::streams::{DynInputStream, DynOutputStream};
use super::view::WasiCtxView;
use crate::I32Exit;
use belljar::Result;
use belljar::component::Resource;

/// A resource `terminal-input`.
pub(super) struct TerminalInput;
/// A resource `terminal-output`.
pub(super) struct TerminalOutput;

/// Returns a text of the host's. Its bytes that are not UTF-8 become U+FFFD, since a string has no others.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn variable(line: &[u8]) -> (String, String) {
    // A name can begin with `=`.
    let split = line.iter().skip(1).position(|byte| *byte == b'=').map_or(line.len(), |at| at + 1);
    (text(&line[..split]), text(line.get(split + 1..).unwrap_or_default()))
}

fn output(
    view: &mut WasiCtxView<'_>,
    stream: impl Fn(&crate::WasiCtx) -> StandardOutput,
) -> Result<Resource<DynOutputStream>> {
    let stream: DynOutputStream = Box::new(stream(view.ctx));
    Ok(view.table.push(stream)?)
}

fn terminal<R: Send + 'static>(
    view: &mut WasiCtxView<'_>,
    is_terminal: bool,
    terminal: R,
) -> Result<Option<Resource<R>>> {
    Ok(if is_terminal { Some(view.table.push(terminal)?) } else { None })
}

pub(super) fn add<T: 'static>(interfaces: &mut Interfaces<'_, T>) -> Result<()> {
    let mut environment = interfaces.add("wasi:cli/environment")?;
    environment.func("get-environment", |view, (): ()| {
        Ok(view.ctx.env().iter().map(|line| variable(line)).collect::<Vec<_>>())
    })?;
    environment.func("get-arguments", |view, (): ()| {
        Ok(view.ctx.args().iter().map(|arg| text(arg)).collect::<Vec<_>>())
    })?;
    environment.func("initial-cwd", |view, (): ()| Ok(view.ctx.initial_cwd().map(str::to_owned)))?;

    let mut exit = interfaces.add("wasi:cli/exit")?;
    exit.action("exit", |_, (status,): (Result<(), ()>,)| {
        Err(I32Exit(if status.is_ok() { 0 } else { 1 }).into())
    })?;
    exit.action("exit-with-code", |_, (code,): (u8,)| Err(I32Exit(code.into()).into()))?;

    interfaces.add("wasi:cli/stdin")?.func("get-stdin", |view, (): ()| {
        let stream: DynInputStream = Box::new(StandardInput(view.ctx.stdin()));
        Ok(view.table.push(stream)?)
    })?;
    interfaces
        .add("wasi:cli/stdout")?
        .func("get-stdout", |view, (): ()| output(view, |ctx| StandardOutput::new(ctx.stdout())))?;
    interfaces
        .add("wasi:cli/stderr")?
        .func("get-stderr", |view, (): ()| output(view, |ctx| StandardOutput::new(ctx.stderr())))?;

    interfaces.add("wasi:cli/terminal-input")?.resource::<TerminalInput>("terminal-input")?;
    interfaces.add("wasi:cli/terminal-output")?.resource::<TerminalOutput>("terminal-output")?;
    interfaces.add("wasi:cli/terminal-stdin")?.func("get-terminal-stdin", |view, (): ()| {
        let is_terminal = view.ctx.stdin().is_terminal();
        terminal(view, is_terminal, TerminalInput)
    })?;
    interfaces.add("wasi:cli/terminal-stdout")?.func("get-terminal-stdout", |view, (): ()| {
        let is_terminal = view.ctx.stdout().is_terminal();
        terminal(view, is_terminal, TerminalOutput)
    })?;
    interfaces.add("wasi:cli/terminal-stderr")?.func("get-terminal-stderr", |view, (): ()| {
        let is_terminal = view.ctx.stderr().is_terminal();
        terminal(view, is_terminal, TerminalOutput)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_split_at_the_first_equals_sign_after_a_name() {
        let variable = |line: &str| variable(line.as_bytes());
        assert_eq!(variable("A=b=c"), ("A".into(), "b=c".into()));
        assert_eq!(variable("A="), ("A".into(), String::new()));
        assert_eq!(variable("A"), ("A".into(), String::new()));
        assert_eq!(variable("=A=b"), ("=A".into(), "b".into()));
        assert_eq!(variable(""), (String::new(), String::new()));
    }
}
