//! Components: prepares one, and runs it.

use super::guest::Guest;
use super::invoke::{self, Call};
use super::options::RunOptions;
use super::outcome;
use super::start::RunError;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::module_file::ModuleFile;
use crate::progress::{Meter, with_progress};
use crate::snapshot::SnapshotNote;
use crate::user_cache;
use belljar::component::{Component, Instance, InstancePre, Linker, Val};
use belljar::error::Context;
use belljar::{Engine, Error, OutsideText, Store};

/// A component that is ready to be started.
pub(super) struct ComponentProgram {
    pub(super) engine: Engine,
    pre: InstancePre<Guest>,
    entry: Entry,
}

/// What a run calls.
enum Entry {
    /// The function of `wasi:cli/run`.
    Run,
    Invoke(Call),
}

/// The function that makes a component a program.
const RUN: [&str; 2] = ["wasi:cli/run@0.2.12", "run"];

/// The most missing imports to list without `--all-imports`.
const MAX_LISTED: usize = 20;

/// What components can import.
pub(crate) const OFFERED: &str = "belljar has wasi:cli, wasi:clocks, wasi:filesystem, wasi:http, wasi:io, wasi:random and wasi:sockets, at version \
                       0.2.12 and those before it; `belljar wit` shows what a component imports";

/// How a component has ended that was not ended by an error.
pub(super) struct Returned {
    /// The text to print.
    pub(super) text: String,
    pub(super) code: u8,
}

impl RunOptions {
    /// Compiles a component, and finds what it imports and what to call.
    ///
    /// # Errors
    ///
    /// Returns an error if it is invalid, lacks an import, or has no such function.
    pub(super) fn prepare_component(
        &self,
        engine: Engine,
        file: &ModuleFile,
        meter: &Meter,
    ) -> Result<ComponentProgram, Failure> {
        self.check_options_of_components()?;
        let mut linker = Linker::new(&engine);
        belljar_wasi_http::add_to_linker_sync(&mut linker).with_exit_code(ExitCode::Bug)?;
        // An invalid component is refused when it is compiled.
        let missing = linker.missing_imports(file.bytes()).unwrap_or_default();
        if !missing.is_empty() {
            return Err(self.cannot_start(Error::msg(self.describe_missing(&missing))));
        }
        let component = with_progress(|| file.describe_work(), meter, || file.compile_component(&engine))
            .map_err(|failure| self.explain_limit(failure))?;
        if let Some(note) =
            SnapshotNote::of_component(&component).map_err(|error| self.cannot_start(error))?
        {
            note.check_dirs(&self.dir).map_err(|why| self.cannot_start(Error::msg(why)))?;
        }
        let pre = linker.instantiate_pre(&component).map_err(|error| self.cannot_start(error))?;
        let entry = match &self.invoke {
            None => Entry::Run,
            Some(text) => Entry::Invoke(self.call(&component, text)?),
        };
        user_cache::report_problems(&engine);
        Ok(ComponentProgram { engine, pre, entry })
    }

    /// Says what is missing, and what there is.
    fn describe_missing(&self, missing: &[String]) -> String {
        let listed = if self.all_imports { missing.len() } else { MAX_LISTED };
        let mut lines: Vec<&str> = missing.iter().take(listed).map(|line| &**line).collect();
        let more = format!("… and {} more, which --all-imports lists", missing.len().saturating_sub(listed));
        if missing.len() > listed {
            lines.push(&more);
        }
        lines.push(OFFERED);
        lines.join("\n")
    }

    fn call(&self, component: &Component, text: &str) -> Result<Call, Failure> {
        let no_call = |error: Error| self.cannot_start(Error::msg(self.with_hint(format!("{error:#}"))));
        Call::read(component, text, &self.args()?).map_err(no_call)
    }

    /// Refuses options that components do not have.
    fn check_options_of_components(&self) -> Result<(), Failure> {
        let of_modules = [
            (self.threads, "--threads", "components have no threads"),
            (
                !self.preload.is_empty(),
                "--preload",
                "it links core modules; `belljar compose` links components",
            ),
        ];
        match of_modules.iter().find(|(is_given, ..)| *is_given) {
            Some((_, option, why)) => Err(Failure::usage(format!(
                "{option} cannot be used with {}, which is a component: {why}",
                OutsideText::new(self.file())
            ))),
            None => Ok(()),
        }
    }

    /// Instantiates a component and calls its function.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be started, or does not return.
    pub(super) fn run_component(
        &self,
        program: &ComponentProgram,
        store: &mut Store<Guest>,
    ) -> Result<Returned, RunError> {
        let instance =
            program.pre.instantiate(&mut *store).map_err(|error| match outcome::is_guest_error(&error) {
                true => RunError::Guest(error),
                false => RunError::Refused(self.cannot_start(error)),
            })?;
        match &program.entry {
            Entry::Run => self.run_command(program, store, instance),
            Entry::Invoke(call) => Ok(invoke(store, instance, call)?),
        }
    }

    fn run_command(
        &self,
        program: &ComponentProgram,
        store: &mut Store<Guest>,
        instance: Instance,
    ) -> Result<Returned, RunError> {
        let no_program = || {
            let error = invoke::no_program(program.pre.component());
            RunError::Refused(self.cannot_start(Error::msg(self.with_hint(error.to_string()))))
        };
        let run = instance.get_func_at(&*store, &RUN).ok_or_else(no_program)?;
        let run = run
            .typed::<(), (Result<(), ()>,)>(&*store)
            .map_err(|error| RunError::Refused(self.cannot_start(error)))?;
        let (result,) = run.call(store, ())?;
        // A program that fails tells why itself, on its standard error.
        Ok(Returned { text: String::new(), code: u8::from(result.is_err()) })
    }
}

fn invoke(store: &mut Store<Guest>, instance: Instance, call: &Call) -> Result<Returned, Error> {
    let path: Vec<&str> = call.path.iter().map(|name| &**name).collect();
    let func = instance.get_func_at(&*store, &path);
    let func =
        func.with_context(|| format!("`{}` is no longer exported", OutsideText::new(&path.join("#"))))?;
    let mut results = vec![Val::Bool(false); usize::from(func.ty(&*store).result().is_some())];
    func.call(store, &call.arguments, &mut results)?;
    let text = results.iter().map(|value| invoke::show(value) + "\n").collect();
    Ok(Returned { text, code: ExitCode::Success as u8 })
}
