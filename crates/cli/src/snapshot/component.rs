//! Snapshots of components.

use super::note::SnapshotNote;
use super::options::SnapshotOptions;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::module_file::ModuleFile;
use crate::progress::{Meter, with_progress};
use crate::run::{Call, MemoryBudget, OFFERED};
use crate::user_cache;
use belljar::component::{Component, InstancePre, Linker, ResourceTable};
use belljar::error::Context;
use belljar::{Engine, Error, OutsideText, SigningKey, Store};
use belljar_wasi::{WasiCtx, WasiCtxView, WasiView};
use belljar_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    memory: MemoryBudget,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: Default::default() }
    }
}

/// How the initialization ended: its snapshot, or the exit code of what has been reported.
pub(super) enum Initialized {
    Snapshot(Vec<u8>),
    Failed(u8),
}

impl SnapshotOptions {
    /// Runs the initialization of a component, and returns its snapshot.
    ///
    /// # Errors
    ///
    /// Returns an error if the component is invalid or cannot be started, or if its state cannot be saved.
    pub(super) fn snapshot_component(
        &self,
        (engine, meter): (&Engine, &Meter),
        file: &ModuleFile,
        wasi: WasiCtx,
        key: Option<&SigningKey>,
    ) -> Result<Initialized, Failure> {
        let cannot_start = |error: Error| {
            let error = error.context(format!("could not start {}", OutsideText::new(&self.file)));
            Failure::new(ExitCode::CannotStart, error)
        };
        let mut linker = Linker::<Guest>::new(engine);
        belljar_wasi_http::add_to_linker_sync(&mut linker).with_exit_code(ExitCode::Bug)?;
        // An invalid component is refused when it is compiled.
        let missing = linker.missing_imports(file.bytes()).unwrap_or_default();
        if !missing.is_empty() {
            return Err(cannot_start(Error::msg(format!("{}\n{OFFERED}", missing.join("\n")))));
        }
        let component = with_progress(|| file.describe_work(), meter, || file.compile_component(engine))?;
        user_cache::report_problems(engine);
        if component.has_snapshot() {
            return Err(Failure::usage(format!("{} is a snapshot already", OutsideText::new(&self.file))));
        }
        let call = self.call_of(&component).map_err(cannot_start)?;
        let pre = linker.instantiate_pre(&component).map_err(cannot_start)?;
        let memory = MemoryBudget::new(self.max_memory, "--max-memory".into());
        let guest = Guest { wasi, http: WasiHttpCtx::new(), table: ResourceTable::new(), memory };
        let mut store = Store::try_new(engine, guest).with_exit_code(ExitCode::CannotStart)?;
        store.limiter(|guest| &mut guest.memory);
        let work = || format!("initializing {}", OutsideText::new(&self.name()));
        let ran = with_progress(work, &Meter::default(), || self.run(&mut store, &pre, call.as_ref()));
        if let Err(error) = ran {
            return Ok(Initialized::Failed(self.report(&error, &store.data().memory)));
        }
        let note = SnapshotNote { invoked: self.invoke.clone(), dirs: self.guest_dirs(), descriptors: None };
        let saved = self.save(&mut store, &note, key);
        let saved =
            saved.with_context(|| format!("could not save the state of {}", OutsideText::new(&self.file)));
        saved.map(Initialized::Snapshot).with_exit_code(ExitCode::CannotStart)
    }

    /// Finds the function to call.
    fn call_of(&self, component: &Component) -> Result<Option<Call>, Error> {
        let Some(text) = &self.invoke else { return Ok(None) };
        let call = Call::read(component, text, &[])?;
        belljar::ensure!(
            call.ty.params().is_empty() && call.ty.result().is_none(),
            "`{}` is {}, but an initialization has no parameters or results",
            OutsideText::new(text),
            call.ty
        );
        Ok(Some(call))
    }

    fn run(
        &self,
        store: &mut Store<Guest>,
        pre: &InstancePre<Guest>,
        call: Option<&Call>,
    ) -> Result<(), Error> {
        if self.with_fuel {
            store.set_fuel(u64::MAX)?;
        }
        let instance = pre.instantiate(&mut *store)?;
        let Some(call) = call else { return Ok(()) };
        let path: Vec<&str> = call.path.iter().map(|name| &**name).collect();
        instance.get_typed_func::<(), ()>(&*store, &*path)?.call(store, ())
    }
}
