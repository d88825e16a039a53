//! The world `wasi:cli/command`: a program.

use belljar::component::{Component, Instance, InstancePre, Linker, TypedFunc};
use belljar::error::Context;
use belljar::{AsContextMut, OutsideText, Result};

/// The name of the interface that a program exports.
const RUN: &str = "wasi:cli/run@0.2.12";

/// A program: an instance of a component that exports `wasi:cli/run`.
///
/// ```
/// use belljar::component::{Component, Linker, ResourceTable};
/// use belljar::{Engine, Store};
/// use belljar_wasi::p2::bindings::sync::Command;
/// use belljar_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
///
/// struct Host(WasiCtx, ResourceTable);
///
/// impl WasiView for Host {
///     fn ctx(&mut self) -> WasiCtxView<'_> {
///         WasiCtxView { ctx: &mut self.0, table: &mut self.1 }
///     }
/// }
///
/// let engine = Engine::default();
/// let component = Component::new(&engine, r#"(component
///     (core module $m (func (export "run") (result i32) (i32.const 0)))
///     (core instance $m (instantiate $m))
///     (func $run (result (result)) (canon lift (core func $m "run")))
///     (instance (export "wasi:cli/run@0.2.0") (export "run" (func $run))))"#)?;
/// let mut linker = Linker::<Host>::new(&engine);
/// belljar_wasi::p2::add_to_linker_sync(&mut linker)?;
/// let ctx = WasiCtxBuilder::new().inherit_stdio().build();
/// let mut store = Store::new(&engine, Host(ctx, ResourceTable::new()));
/// let command = Command::instantiate(&mut store, &component, &linker)?;
/// assert_eq!(command.wasi_cli_run().call_run(&mut store)?, Ok(()));
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Command {
    run: Run,
}

/// The functions of `wasi:cli/run`.
#[derive(Clone, Debug)]
pub struct Run {
    run: TypedFunc<(), (Result<(), ()>,)>,
}

/// A program whose imports were found, to instantiate any number of times.
#[derive(Debug)]
pub struct CommandPre<T: 'static> {
    pre: InstancePre<T>,
}

impl<T: 'static> Clone for CommandPre<T> {
    fn clone(&self) -> Self {
        Self { pre: self.pre.clone() }
    }
}

impl<T: 'static> CommandPre<T> {
    /// Wraps a component whose imports were found.
    ///
    /// # Errors
    ///
    /// Returns no error: whether it is a program is found out by [`CommandPre::instantiate`].
    pub fn new(pre: InstancePre<T>) -> Result<Self> {
        Ok(Self { pre })
    }

    /// Returns the component whose imports were found.
    pub fn instance_pre(&self) -> &InstancePre<T> {
        &self.pre
    }

    /// Creates an instance.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be created, or is no program.
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Command> {
        let mut store = store.as_context_mut();
        let instance = self.pre.instantiate(&mut store)?;
        Command::new(&mut store, &instance)
    }
}

impl Command {
    /// Creates an instance of a program.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be created, or is no program.
    pub fn instantiate<T: 'static>(
        store: impl AsContextMut<Data = T>,
        component: &Component,
        linker: &Linker<T>,
    ) -> Result<Self> {
        CommandPre::new(linker.instantiate_pre(component)?)?.instantiate(store)
    }

    /// Takes an instance of a program.
    ///
    /// # Errors
    ///
    /// Returns an error if it is none: if it does not export `wasi:cli/run` with a function `run` of the right type.
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub fn new(mut store: impl AsContextMut, instance: &Instance) -> Result<Self> {
        let store = store.as_context_mut();
        let func = instance.get_func_at(&store, &[RUN, "run"]).with_context(|| {
            format!(
                "the component is no program: it exports no function `run` in {}, nor in a version that is compatible",
                OutsideText::new(RUN)
            )
        })?;
        Ok(Self { run: Run { run: func.typed(&store)? } })
    }

    /// Returns the functions of `wasi:cli/run`.
    pub fn wasi_cli_run(&self) -> &Run {
        &self.run
    }
}

impl Run {
    /// Runs the program. The inner result tells whether it has succeeded.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not return; [`I32Exit`](crate::I32Exit) if it has exited by `wasi:cli/exit`.
    ///
    /// # Panics
    ///
    /// Panics if the program belongs to another store.
    pub fn call_run(&self, store: impl AsContextMut) -> Result<Result<(), ()>> {
        let (result,) = self.run.call(store, ())?;
        Ok(result)
    }
}
