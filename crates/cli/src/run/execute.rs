//! `belljar run` from options to exit code: prepare, start, call, report.

use super::component_program::Returned;
use super::dir_grant::DirGrant;
use super::guest::{Guest, ThreadGroup};
use super::memory_budget::MemoryBudget;
use super::options::RunOptions;
use super::outcome::Outcome;
use super::prepared::Prepared;
use super::program::Program;
use super::shared_memory::shared_memory_imports;
use super::start::{HOST_STACK, RunError};
use super::stop::TimeLimitOptions;
use super::threads::Spawner;
use super::{argument, background, end, http_grant, limits, network_grant, profile, stop};
use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::output::{complain, print};
use crate::output_file::{cannot_write, check};
use crate::profile::format_of;
use belljar::component::ResourceTable;
use belljar::error::Context;
use belljar::{Error, Killed, Limit, LimitGroup, Store};
use belljar_wasi::{WasiCtx, WasiCtxBuilder};
use belljar_wasi_http::WasiHttpCtx;
use std::sync::Arc;

impl RunOptions {
    /// Runs the program. Returns its exit code. `subcommands` lists those that the file's name may be meant as.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be started.
    pub(crate) fn execute(&self, subcommands: impl FnOnce() -> Vec<String>) -> Result<u8, Failure> {
        if self.print_limit_keys()? {
            return Ok(ExitCode::Success as u8);
        }
        self.check_file(subcommands)?;
        DirGrant::check_names(&self.dir)?;
        let wasi = self.wasi()?;
        if let Some(file) = &self.coredump {
            file.check()?;
        }
        if let Some(file) = &self.profile {
            format_of(file)?;
            let cannot = || format!("{} for --profile", cannot_write(file));
            check(file).with_context(cannot).with_exit_code(ExitCode::Unwritable)?;
        }
        let Some(stack) = self.limit(Limit::Stack).map(ByteSize) else { return self.run(wasi) };
        let option = self.option_of(Limit::Stack);
        let too_large = || Failure::usage(format!("{option} {stack} is more than this machine can give"));
        let size = usize::try_from(stack.0.saturating_add(HOST_STACK)).map_err(|_| too_large())?;
        std::thread::scope(|scope| {
            let guest = std::thread::Builder::new().name("guest".into()).stack_size(size);
            let guest = guest.spawn_scoped(scope, || self.run(wasi)).map_err(|_| too_large())?;
            // Propagates a panic as if there were no thread.
            guest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn wasi(&self) -> Result<WasiCtx, Failure> {
        let mut builder = WasiCtxBuilder::new();
        builder.limits(&self.wasi_limits());
        builder.inherit_stdio().arg(self.argv0()).args(&self.args()?);
        for var in &self.env {
            builder.env(&var.name, &var.value);
        }
        for dir in &self.dir {
            dir.grant(&mut builder)?;
        }
        match self.inherit_network {
            true => drop(builder.inherit_network()),
            false => network_grant::grant(&mut builder, &self.allow_tcp, &self.allow_udp)?,
        }
        Ok(builder.build())
    }

    fn http(&self) -> WasiHttpCtx {
        let mut http = WasiHttpCtx::new();
        match self.inherit_network {
            true => http.allow_all_requests(),
            false => http_grant::grant(&mut http, &self.allow_http),
        };
        http
    }

    fn run(&self, wasi: WasiCtx) -> Result<u8, Failure> {
        let prepared = self.prepare()?;
        let memory =
            MemoryBudget::new(self.limit(Limit::Memory).map(ByteSize), self.option_of(Limit::Memory));
        let mut thread_group = None;
        if let Prepared::Module(program) = &prepared {
            if let Some(note) = &program.note {
                note.restore_descriptors(&wasi).map_err(|error| self.cannot_start(error))?;
            }
            thread_group = self.thread_group(program, &memory)?;
        }
        let engine = prepared.engine();
        let (http, table) = (self.http(), ResourceTable::new());
        let mut store = self.store(engine, Guest { wasi, http, table, memory, thread_group })?;
        background::start_background_services(engine);
        if let Some(file) = &self.profile {
            profile::start(engine, self.file(), self.profile_frequency, file)?;
        }
        let names = TimeLimitOptions::of(self);
        if let Some(time) = self.time_limit(Limit::Wall) {
            stop::start_timeout(engine, time, names.clone()).with_exit_code(ExitCode::CannotStart)?;
        }
        if let Some(time) = self.time_limit(Limit::Cpu) {
            stop::start_cpu_timeout(engine, time, names).with_exit_code(ExitCode::CannotStart)?;
        }
        let ended = match &prepared {
            Prepared::Module(program) => self.run_module(program, &mut store),
            Prepared::Component(program) => self.run_component(program, &mut store),
        };
        end::begin_exit();
        let code = self.report_end(ended, &store);
        end::finish();
        // The process exits now, which frees all this faster than dropping it would.
        std::mem::forget((store, prepared));
        code
    }

    fn run_module(&self, program: &Program, store: &mut Store<Guest>) -> Result<Returned, RunError> {
        let instance = self.instantiate(program, store)?;
        let results = program.call(store, instance)?;
        let text = results.iter().map(|v| argument::show(v) + "\n").collect();
        Ok(Returned { text, code: ExitCode::Success as u8 })
    }

    /// Prints the results, or the reason why there are none. Returns the exit code.
    fn report_end(&self, ended: Result<Returned, RunError>, store: &Store<Guest>) -> Result<u8, Failure> {
        let (outcome, error) = match ended {
            Ok(Returned { text, code }) => {
                print(&text)?;
                (Outcome { code, ..Outcome::RETURNED }, None)
            }
            Err(RunError::Guest(error)) => (Outcome::of_error(&error, self), Some(error)),
            Err(RunError::Refused(failure)) => return Err(failure),
        };
        if error.as_ref().is_some_and(Error::is::<Killed>) {
            end::exit_despite_blocked_output(outcome.code);
        }
        if let Some(message) = &outcome.message {
            complain(&format!("error: {message}"));
        }
        if outcome != Outcome::RETURNED {
            store.data().memory.refusal().iter().for_each(|refusal| complain(&format!("note: {refusal}")));
            limits::refused_growth(store).iter().for_each(|refusal| complain(&format!("note: {refusal}")));
        }
        limits::report_wasi_limits(&store.data().wasi);
        for denied in store.data().wasi.denied_uses() {
            complain(&format!("note: {}", network_grant::describe(&denied)));
        }
        for denied in store.data().http.denied_requests() {
            complain(&format!("note: {}", http_grant::describe(&denied)));
        }
        if let Some(error) = &error {
            self.dump_core(error, store);
        }
        Ok(outcome.code)
    }

    fn thread_group(
        &self,
        program: &Arc<Program>,
        budget: &MemoryBudget,
    ) -> Result<Option<ThreadGroup>, Failure> {
        if !self.threads {
            return Ok(None);
        }
        let memories =
            shared_memory_imports(&program.engine, &program.module, &program.preloads, &mut budget.clone());
        let memories =
            memories.map_err(|error| self.cannot_start(budget.refusal().map_or(error, Error::msg)))?;
        let (threads, limits) = (Spawner::threads(self, program), LimitGroup::new());
        Ok(Some(ThreadGroup { threads, memories: memories.into(), limits }))
    }
}
