//! Executes the directives of a script with the engine.

use super::component::{self as values, Components};
use super::pattern::{self, matches};
use super::spectest;
use super::value::{argument, show};
use belljar::component::{self, Component};
use belljar::error::Context;
use belljar::{
    Engine, Error, Instance, Linker, Module, Result, SharedMemory, Store, ThrownException, Trap, Val, bail,
    ensure, format_err,
};
use std::collections::HashMap;
use wast::token::Id;
use wast::{QuoteWat, Wast, WastDirective, WastExecute, WastInvoke, WastRet, Wat};

/// The state of a script: its store, and the names that its directives defined.
pub(super) struct Session {
    engine: Engine,
    store: Store<()>,
    linker: Linker<()>,
    current: Option<Instance>,
    instances: HashMap<String, Instance>,
    latest_definition: Option<Module>,
    definitions: HashMap<String, Module>,
    components: Components,
    /// The current instance, if it is a component's.
    current_component: Option<component::Instance>,
    /// The shared memories of modules that the starting script shares with this thread.
    shared: HashMap<String, Vec<(String, SharedMemory)>>,
}

/// The stage in which a module failed.
enum Refused {
    /// It is malformed or invalid.
    Module(Error),
    /// Its imports are missing or have other types.
    Link(Error),
    /// A segment or its start function trapped.
    Trap(Trap),
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Module(e) => e.context("the module was refused"),
            Refused::Link(e) => e.context("the module could not be linked"),
            Refused::Trap(trap) => format_err!("instantiation trapped: {}", trap.row().spec),
        }
    }
}

impl Session {
    pub(super) fn new(engine: &Engine) -> Result<Self> {
        let mut store = Store::try_new(engine, ())?;
        let linker = spectest::linker(engine, &mut store)?;
        Ok(Self {
            engine: engine.clone(),
            store,
            linker,
            current: None,
            instances: HashMap::new(),
            latest_definition: None,
            definitions: HashMap::new(),
            components: Components::new(engine)?,
            current_component: None,
            shared: HashMap::new(),
        })
    }

    /// Creates the session of a thread: its own store, which shares the shared memories that a module exports.
    pub(super) fn thread(&mut self, shared_module: Option<Id<'_>>) -> Result<Self> {
        let mut session = Self::new(&self.engine)?;
        if let Some(id) = shared_module {
            let instance = self.named(Some(id))?;
            let exports = instance.exports(&self.store);
            let shared = exports.filter_map(|e| Some((e.name().into(), e.into_shared_memory()?)));
            session.shared.insert(id.name().into(), shared.collect());
        }
        Ok(session)
    }

    fn register(&mut self, name: &str, module: Option<Id<'_>>) -> Result<()> {
        if let Some(shared) = module.and_then(|id| self.shared.get(id.name())) {
            for (export, memory) in shared {
                self.linker.define(&self.store, name, export, memory.clone())?;
            }
            return Ok(());
        }
        if let Some(instance) = self.component_named(module) {
            return self.components.register(&self.store, name, instance);
        }
        let instance = self.named(module)?;
        self.linker.instance(&mut self.store, name, instance)?;
        Ok(())
    }

    /// Returns the component's instance with a name, or the current instance if it is a component's.
    fn component_named(&self, name: Option<Id<'_>>) -> Option<component::Instance> {
        match name {
            Some(id) => self.components.named(id.name()),
            None => self.current_component,
        }
    }

    /// Executes a directive. The error says how the outcome differs from the expected one.
    pub(super) fn run(&mut self, directive: WastDirective<'_>) -> Result<()> {
        match directive {
            WastDirective::Module(mut module) if is_component(&module) => self.component(&mut module),
            WastDirective::ModuleDefinition(mut module) if is_component(&module) => {
                self.define_component(&mut module).map(drop)
            }
            WastDirective::Module(mut module) => self.module(&mut module),
            WastDirective::ModuleDefinition(mut module) => self.define(&mut module).map(drop),
            WastDirective::ModuleInstance { instance, module, .. } => self.instance(instance, module),
            WastDirective::Register { name, module, .. } => self.register(name, module),
            WastDirective::Invoke(call) if self.component_named(call.module).is_some() => {
                self.invoke_component(&call).map(drop)
            }
            WastDirective::Invoke(call) => self.invoke(&call).map(drop),
            WastDirective::AssertReturn { exec, results, .. } if self.is_of_component(&exec) => {
                self.assert_component_returns(exec, &results)
            }
            WastDirective::AssertReturn { exec, results, .. } => self.assert_return(exec, &results),
            WastDirective::AssertTrap { exec, message, .. } if self.is_of_component(&exec) => {
                self.assert_component_traps(exec, message)
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                let outcome = self.execute(exec);
                self.assert_trap(outcome, message)
            }
            WastDirective::AssertExhaustion { call, message, .. } => {
                let outcome = self.invoke(&call);
                self.assert_trap(outcome, message)
            }
            WastDirective::AssertMalformed { module, message, .. }
            | WastDirective::AssertMalformedCustom { module, message, .. } => {
                self.assert_refused(module, "malformed", message)
            }
            WastDirective::AssertInvalid { module, message, .. }
            | WastDirective::AssertInvalidCustom { module, message, .. } => {
                self.assert_refused(module, "invalid", message)
            }
            WastDirective::AssertUnlinkable { module, message, .. } => {
                self.assert_unlinkable(module, message)
            }
            WastDirective::AssertException { exec, .. } => self.assert_exception(exec),
            WastDirective::AssertSuspension { .. } => bail!("`assert_suspension` is not supported yet"),
            WastDirective::Thread(_) | WastDirective::Wait { .. } => {
                bail!("belljar bug: a thread was left to its session")
            }
        }
    }

    fn module(&mut self, module: &mut QuoteWat<'_>) -> Result<()> {
        // After a module fails, later directives must not use the one before it.
        (self.current, self.current_component) = (None, None);
        let name = module.name();
        let module = self.define(module)?;
        let instance = self.instantiate(&module)?;
        self.enter(name, instance);
        Ok(())
    }

    fn define(&mut self, module: &mut QuoteWat<'_>) -> Result<Module> {
        self.latest_definition = None;
        let name = module.name();
        let module = self.compile(module)?;
        if let Some(id) = name {
            self.definitions.insert(id.name().into(), module.clone());
        }
        self.latest_definition = Some(module.clone());
        Ok(module)
    }

    fn instance(&mut self, name: Option<Id<'_>>, module: Option<Id<'_>>) -> Result<()> {
        (self.current, self.current_component) = (None, None);
        if let Some(component) = self.components.definition(module.as_ref().map(Id::name)) {
            let instance = self.components.instantiate(&mut self.store, &component)?;
            return self.enter_component(name.as_ref().map(Id::name), instance);
        }
        let module = match module {
            Some(id) => self.definitions.get(id.name()),
            None => self.latest_definition.as_ref(),
        };
        let module = module.context("there is no such module definition")?.clone();
        let instance = self.instantiate(&module)?;
        self.enter(name, instance);
        Ok(())
    }

    fn enter(&mut self, name: Option<Id<'_>>, instance: Instance) {
        (self.current, self.current_component) = (Some(instance), None);
        if let Some(id) = name {
            self.instances.insert(id.name().into(), instance);
        }
    }

    fn compile(&self, module: &mut QuoteWat<'_>) -> Result<Module, Refused> {
        let binary = module.encode().map_err(|e| Refused::Module(e.into()))?;
        Module::from_binary(&self.engine, &binary).map_err(Refused::Module)
    }

    fn instantiate(&mut self, module: &Module) -> Result<Instance, Refused> {
        self.linker.instantiate(&mut self.store, module).map_err(|e| match e.downcast_ref::<Trap>() {
            Some(trap) => Refused::Trap(*trap),
            None => Refused::Link(e),
        })
    }

    fn named(&self, name: Option<Id<'_>>) -> Result<Instance> {
        match name {
            Some(id) => {
                let found = self.instances.get(id.name()).copied();
                found.with_context(|| format!("there is no instance named ${}", id.name()))
            }
            None => self.current.context("there is no instance: the last module failed"),
        }
    }

    fn invoke(&mut self, call: &WastInvoke<'_>) -> Result<Vec<Val>> {
        let instance = self.named(call.module)?;
        let func = instance.get_func(&mut self.store, call.name);
        let func = func.with_context(|| format!("no function `{}` is exported", call.name))?;
        let args = call.args.iter().map(|a| argument(&mut self.store, a)).collect::<Result<Vec<_>>>()?;
        let mut results = vec![Val::I32(0); func.ty(&self.store).results().len()];
        func.call(&mut self.store, &args, &mut results)?;
        Ok(results)
    }

    fn execute(&mut self, exec: WastExecute<'_>) -> Result<Vec<Val>> {
        match exec {
            WastExecute::Invoke(call) => self.invoke(&call),
            WastExecute::Wat(module) => {
                let module = self.compile(&mut QuoteWat::Wat(module))?;
                self.instantiate(&module).map_err(|refused| match refused {
                    Refused::Trap(trap) => trap.into(),
                    other => Error::from(other),
                })?;
                Ok(Vec::new())
            }
            WastExecute::Get { module, global, .. } => {
                let instance = self.named(module)?;
                let found = instance.get_global(&mut self.store, global);
                let found = found.with_context(|| format!("no global `{global}` is exported"))?;
                Ok(vec![found.get(&mut self.store)])
            }
        }
    }

    fn assert_return(&mut self, exec: WastExecute<'_>, expected: &[WastRet<'_>]) -> Result<()> {
        let found = self.execute(exec).map_err(|e| e.context("expected results, but it failed"))?;
        let fits = found.len() == expected.len()
            && expected.iter().zip(&found).all(|(e, v)| matches(&mut self.store, e, v));
        ensure!(fits, "expected {}, found {}", list(expected.iter().map(pattern::show)), self.show(&found));
        Ok(())
    }

    fn assert_trap(&mut self, outcome: Result<Vec<Val>>, message: &str) -> Result<()> {
        let error = match outcome {
            Ok(values) => bail!("expected the trap `{message}`, but it returned {}", self.show(&values)),
            Err(error) => error,
        };
        let Some(trap) = error.downcast_ref::<Trap>() else {
            return Err(error.context(format!("expected the trap `{message}`, but it failed otherwise")));
        };
        // As in the reference interpreter, either text may be a prefix of the other.
        let found = trap.row().spec;
        let same = found.starts_with(message) || message.starts_with(found) || is_null_trap(*trap, message);
        ensure!(same, "expected the trap `{message}`, but it trapped with `{found}`");
        Ok(())
    }

    fn assert_exception(&mut self, exec: WastExecute<'_>) -> Result<()> {
        match self.execute(exec) {
            Ok(values) => bail!("expected an exception, but it returned {}", self.show(&values)),
            Err(error) if error.is::<ThrownException>() => Ok(()),
            Err(error) => Err(error.context("expected an exception, but it failed otherwise")),
        }
    }

    fn component(&mut self, component: &mut QuoteWat<'_>) -> Result<()> {
        (self.current, self.current_component) = (None, None);
        let name = component.name();
        let compiled = self.define_component(component)?;
        let instance = self.components.instantiate(&mut self.store, &compiled)?;
        self.enter_component(name.as_ref().map(Id::name), instance)
    }

    fn define_component(&mut self, component: &mut QuoteWat<'_>) -> Result<Component> {
        let name = component.name();
        let binary = component.encode()?;
        let compiled = Component::from_binary(&self.engine, &binary)?;
        self.components.define(name.as_ref().map(Id::name), &compiled);
        Ok(compiled)
    }

    fn enter_component(&mut self, name: Option<&str>, instance: component::Instance) -> Result<()> {
        self.current_component = Some(instance);
        match name {
            Some(name) => self.components.enter(&self.store, name, instance),
            None => Ok(()),
        }
    }

    fn is_of_component(&self, exec: &WastExecute<'_>) -> bool {
        match exec {
            WastExecute::Invoke(call) => self.component_named(call.module).is_some(),
            WastExecute::Wat(Wat::Component(_)) => true,
            _ => false,
        }
    }

    fn invoke_component(&mut self, call: &WastInvoke<'_>) -> Result<Vec<component::Val>> {
        let instance = self.component_named(call.module).context("there is no such component")?;
        values::invoke(&mut self.store, instance, call.name, &call.args)
    }

    fn execute_component(&mut self, exec: WastExecute<'_>) -> Result<Vec<component::Val>> {
        match exec {
            WastExecute::Invoke(call) => self.invoke_component(&call),
            WastExecute::Wat(component) => {
                let binary = QuoteWat::Wat(component).encode()?;
                let compiled = Component::from_binary(&self.engine, &binary)?;
                self.components.instantiate(&mut self.store, &compiled)?;
                Ok(Vec::new())
            }
            WastExecute::Get { .. } => bail!("components have no globals"),
        }
    }

    fn assert_component_returns(&mut self, exec: WastExecute<'_>, expected: &[WastRet<'_>]) -> Result<()> {
        let found = self.execute_component(exec).map_err(|e| e.context("expected results, but it failed"))?;
        ensure!(
            values::matches(expected, &found),
            "expected {}, found {}",
            values::show_expected(expected),
            values::show(&found)
        );
        Ok(())
    }

    /// Texts of traps differ between engines, except for those of core code.
    fn assert_component_traps(&mut self, exec: WastExecute<'_>, message: &str) -> Result<()> {
        match self.execute_component(exec) {
            Ok(values) => bail!("expected the trap `{message}`, but it returned {}", values::show(&values)),
            Err(_) => Ok(()),
        }
    }

    fn assert_refused(&self, mut module: QuoteWat<'_>, what: &str, message: &str) -> Result<()> {
        let is_component = is_component(&module);
        let Ok(binary) = module.encode() else { return Ok(()) };
        if is_component {
            let accepted = Component::from_binary(&self.engine, &binary).is_ok();
            ensure!(!accepted, "expected the component to be {what} ({message}), but it was accepted");
            return Ok(());
        }
        let accepted = Module::validate(&self.engine, &binary).is_ok();
        ensure!(!accepted, "expected the module to be {what} ({message}), but it was accepted");
        Ok(())
    }

    fn assert_unlinkable(&mut self, module: Wat<'_>, message: &str) -> Result<()> {
        if matches!(module, Wat::Component(_)) {
            let binary = QuoteWat::Wat(module).encode()?;
            let compiled = Component::from_binary(&self.engine, &binary)?;
            let linked = self.components.instantiate(&mut self.store, &compiled);
            ensure!(linked.is_err(), "expected a link error ({message}), but the component was instantiated");
            return Ok(());
        }
        let module = self.compile(&mut QuoteWat::Wat(module))?;
        match self.instantiate(&module) {
            Err(Refused::Link(_)) => Ok(()),
            Err(other) => Err(Error::from(other).context(format!("expected a link error ({message})"))),
            Ok(_) => bail!("expected a link error ({message}), but the module was instantiated"),
        }
    }

    fn show(&mut self, values: &[Val]) -> String {
        list(values.iter().map(|v| show(&mut self.store, v)))
    }
}

/// Returns whether it is a component, and not a core module.
fn is_component(module: &QuoteWat<'_>) -> bool {
    matches!(module, QuoteWat::Wat(Wat::Component(_)) | QuoteWat::QuoteComponent(..))
}

fn list(shown: impl Iterator<Item = String>) -> String {
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { "nothing".into() } else { shown.join(" ") }
}

/// Parses the directives of a script.
pub(super) fn parse<'a>(
    buffer: &'a wast::parser::ParseBuffer<'a>,
) -> Result<Vec<WastDirective<'a>>, wast::Error> {
    wast::parser::parse::<Wast<'a>>(buffer).map(|script| script.directives)
}

/// Returns whether the expected message is that of a null trap, whatever it calls the null reference.
fn is_null_trap(trap: Trap, message: &str) -> bool {
    trap == Trap::NullReference && message.starts_with("null ") && message.ends_with(" reference")
}
