//! WASI 0.2 as a real guest sees it: a Rust program for wasm32-wasip2 (`guest/`), which does what its first argument says.

mod files;
mod sockets;
mod streams;
mod world;

use belljar::component::{Component, Linker, ResourceTable};
use belljar::{Engine, Result, Store};
use belljar_wasi::p2::bindings::sync::Command;
use belljar_wasi::{
    DeniedUse, MemoryInputPipe, MemoryOutputPipe, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
};
use std::sync::OnceLock;

struct Host {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

fn guest() -> &'static (Engine, Component) {
    static GUEST: OnceLock<(Engine, Component)> = OnceLock::new();
    GUEST.get_or_init(|| {
        let engine = Engine::default();
        let component = Component::from_binary(&engine, include_bytes!("guest.wasm")).unwrap();
        (engine, component)
    })
}

/// What a run has left.
struct Outcome {
    stdout: String,
    stderr: String,
    result: Result<Result<(), ()>>,
    denied: Vec<DeniedUse>,
    limits: Vec<String>,
}

impl Outcome {
    /// Checks the output, line by line, of a run that has returned.
    #[track_caller]
    fn prints(&self, expected: &[&str]) {
        assert!(matches!(self.result, Ok(Ok(()))), "{:?}\n{}\n{}", self.result, self.stdout, self.stderr);
        let lines: Vec<_> = self.stdout.lines().collect();
        assert_eq!(lines, expected);
    }

    /// Returns the message of a run that has failed.
    #[track_caller]
    fn message(&self) -> String {
        format!("{:#}", self.result.as_ref().expect_err("it returns"))
    }
}

/// Runs the guest. `grant` says what it gets beside its arguments and output.
fn run(args: &[&str], grant: impl FnOnce(&mut WasiCtxBuilder)) -> Outcome {
    run_with(args, grant, |_| ())
}

/// Runs the guest. `prepare` gets its store.
fn run_with(
    args: &[&str],
    grant: impl FnOnce(&mut WasiCtxBuilder),
    prepare: impl FnOnce(&mut Store<Host>),
) -> Outcome {
    let (stdout, stderr) = (MemoryOutputPipe::new(1 << 20), MemoryOutputPipe::new(1 << 20));
    let mut builder = WasiCtxBuilder::new();
    builder.arg("guest").args(args).stdout(stdout.clone()).stderr(stderr.clone());
    grant(&mut builder);
    let (engine, component) = guest();
    let mut linker = Linker::<Host>::new(engine);
    belljar_wasi::p2::add_to_linker_sync(&mut linker).unwrap();
    let mut store = Store::new(engine, Host { ctx: builder.build(), table: ResourceTable::new() });
    prepare(&mut store);
    let command = Command::instantiate(&mut store, component, &linker).unwrap();
    let result = command.wasi_cli_run().call_run(&mut store);
    let text = |pipe: &MemoryOutputPipe| String::from_utf8(pipe.contents().to_vec()).unwrap();
    Outcome {
        stdout: text(&stdout),
        stderr: text(&stderr),
        result,
        denied: store.data().ctx.denied_uses(),
        limits: store.data().ctx.limits_exceeded().iter().map(ToString::to_string).collect(),
    }
}

/// Gives the guest some input.
fn input(text: &str) -> impl FnOnce(&mut WasiCtxBuilder) {
    move |builder| _ = builder.stdin(MemoryInputPipe::new(text))
}
