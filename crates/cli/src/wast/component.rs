//! Components in scripts: instances, calls, and values.

use belljar::component::{Component, Instance, Linker, Val};
use belljar::error::Context;
use belljar::{Engine, Result, Store, bail};
use std::collections::HashMap;
use wast::component::WastVal;
use wast::{WastArg, WastRet};

/// The components of a script.
pub(super) struct Components {
    linker: Linker<()>,
    instances: HashMap<String, Instance>,
    definitions: HashMap<String, Component>,
    latest_definition: Option<Component>,
}

impl Components {
    pub(super) fn new(engine: &Engine) -> Result<Self> {
        let mut linker = Linker::new(engine);
        linker.allow_shadowing(true);
        super::component_spectest::define(engine, &mut linker)?;
        Ok(Self { linker, instances: HashMap::new(), definitions: HashMap::new(), latest_definition: None })
    }

    /// Keeps a compiled component.
    pub(super) fn define(&mut self, name: Option<&str>, component: &Component) {
        if let Some(name) = name {
            self.definitions.insert(name.into(), component.clone());
        }
        self.latest_definition = Some(component.clone());
    }

    /// Returns a component that was defined; the latest one if no name is given.
    pub(super) fn definition(&self, name: Option<&str>) -> Option<Component> {
        match name {
            Some(name) => self.definitions.get(name).cloned(),
            None => self.latest_definition.clone(),
        }
    }

    pub(super) fn instantiate(&self, store: &mut Store<()>, component: &Component) -> Result<Instance> {
        self.linker.instantiate(store, component)
    }

    /// Keeps an instance under a name, under which later components can import it.
    pub(super) fn enter(&mut self, store: &Store<()>, name: &str, instance: Instance) -> Result<()> {
        self.instances.insert(name.into(), instance);
        self.register(store, name, instance)
    }

    pub(super) fn register(&mut self, store: &Store<()>, name: &str, instance: Instance) -> Result<()> {
        self.linker.instance(name)?.exports_of(store, instance)
    }

    pub(super) fn named(&self, name: &str) -> Option<Instance> {
        self.instances.get(name).copied()
    }
}

/// Calls an exported function.
pub(super) fn invoke(
    store: &mut Store<()>,
    instance: Instance,
    name: &str,
    args: &[WastArg<'_>],
) -> Result<Vec<Val>> {
    let func = instance.get_func(&*store, name);
    let func = func.with_context(|| format!("no function `{name}` is exported"))?;
    let args = args.iter().map(argument).collect::<Result<Vec<_>>>()?;
    let mut results = vec![Val::Bool(false); usize::from(func.ty(&*store).result().is_some())];
    func.call(store, &args, &mut results)?;
    Ok(results)
}

fn argument(arg: &WastArg<'_>) -> Result<Val> {
    match arg {
        WastArg::Component(value) => Ok(value_of(value)),
        _ => bail!("a component's function takes no core values"),
    }
}

/// Converts a value for the engine.
fn value_of(value: &WastVal<'_>) -> Val {
    let boxed = |value: &Option<Box<WastVal<'_>>>| value.as_deref().map(|value| Box::new(value_of(value)));
    let all = |values: &[WastVal<'_>]| values.iter().map(value_of).collect();
    match value {
        WastVal::Bool(v) => Val::Bool(*v),
        WastVal::U8(v) => Val::U8(*v),
        WastVal::S8(v) => Val::S8(*v),
        WastVal::U16(v) => Val::U16(*v),
        WastVal::S16(v) => Val::S16(*v),
        WastVal::U32(v) => Val::U32(*v),
        WastVal::S32(v) => Val::S32(*v),
        WastVal::U64(v) => Val::U64(*v),
        WastVal::S64(v) => Val::S64(*v),
        WastVal::F32(v) => Val::Float32(f32::from_bits(v.bits)),
        WastVal::F64(v) => Val::Float64(f64::from_bits(v.bits)),
        WastVal::Char(v) => Val::Char(*v),
        WastVal::String(v) => Val::String((*v).into()),
        WastVal::List(values) => Val::List(all(values)),
        WastVal::Map(entries) => {
            Val::Map(entries.iter().map(|(key, value)| (value_of(key), value_of(value))).collect())
        }
        WastVal::Record(fields) => {
            Val::Record(fields.iter().map(|(name, value)| ((*name).into(), value_of(value))).collect())
        }
        WastVal::Tuple(values) => Val::Tuple(all(values)),
        WastVal::Variant(name, value) => Val::Variant((*name).into(), boxed(value)),
        WastVal::Enum(name) => Val::Enum((*name).into()),
        WastVal::Option(value) => Val::Option(boxed(value)),
        WastVal::Result(Ok(value)) => Val::Result(Ok(boxed(value))),
        WastVal::Result(Err(value)) => Val::Result(Err(boxed(value))),
        WastVal::Flags(names) => Val::Flags(names.iter().map(|name| (*name).into()).collect()),
    }
}

/// Returns whether results are what a script expects. NaNs are equal.
pub(super) fn matches(expected: &[WastRet<'_>], found: &[Val]) -> bool {
    expected.len() == found.len()
        && expected.iter().zip(found).all(|(expected, found)| match expected {
            WastRet::Component(value) => fits(&value_of(value), found),
            _ => false,
        })
}

fn fits(expected: &Val, found: &Val) -> bool {
    match (expected, found) {
        (Val::Float32(a), Val::Float32(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (Val::Float64(a), Val::Float64(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (Val::List(a) | Val::FixedLengthList(a), Val::List(b) | Val::FixedLengthList(b))
        | (Val::Tuple(a), Val::Tuple(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| fits(a, b)),
        (Val::Record(a), Val::Record(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((n, a), (m, b))| n == m && fits(a, b))
        }
        (Val::Variant(n, Some(a)), Val::Variant(m, Some(b))) => n == m && fits(a, b),
        (Val::Option(Some(a)), Val::Option(Some(b)))
        | (Val::Result(Ok(Some(a))), Val::Result(Ok(Some(b))))
        | (Val::Result(Err(Some(a))), Val::Result(Err(Some(b)))) => fits(a, b),
        (a, b) => a == b,
    }
}

/// Formats values for a report.
pub(super) fn show(values: &[Val]) -> String {
    format!("{values:?}")
}

/// Formats expected values for a report.
pub(super) fn show_expected(expected: &[WastRet<'_>]) -> String {
    let values = expected.iter().filter_map(|value| match value {
        WastRet::Component(value) => Some(value_of(value)),
        _ => None,
    });
    format!("{:?}", values.collect::<Vec<_>>())
}
