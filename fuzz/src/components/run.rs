//! Runs a chain of guests in belljar or in Wasmtime: `super::api` is the crate's module for components, and `super` also
//! has what differs.

use super::api::{Component, Linker, Resource, ResourceType, Val};
use super::{Error, StoreContextMut, engine, is_exhausted, store};
use crate::components::types::Type;
use crate::components::{Case, Event};
use std::sync::Arc;

/// What the host has, and what happened.
pub struct Host {
    /// From which values are made.
    bytes: std::vec::IntoIter<u8>,
    calls: u8,
    /// What stands for the newest resource.
    resources: u32,
    events: Vec<Event>,
}

impl Host {
    /// Returns the next number; zero once the input is used up.
    fn next(&mut self) -> u64 {
        (0..8).fold(0, |number, i| number | u64::from(self.bytes.next().unwrap_or_default()) << (8 * i))
    }
}

type Cx<'a> = StoreContextMut<'a, Host>;

/// Runs a case. Returns what happened.
pub fn run(case: &Arc<Case>, component: &Component) -> Vec<Event> {
    let linker = linker(case).expect("each name is defined once");
    let bytes = case.values.clone().into_iter();
    let mut store = store(Host { bytes, calls: 0, resources: 0, events: Vec::new() });
    let instance = linker.instantiate(&mut store, component).expect("an instance");
    let func = instance.get_func(&mut store, "f").expect("it is exported");
    for _ in 0..case.calls {
        let cx = &mut Cx::from(&mut store);
        let params: Vec<Val> = case.ty.params.iter().map(|ty| value(ty, cx)).collect();
        let mut results = vec![Val::Bool(false); usize::from(case.ty.result.is_some())];
        match func.call(&mut *cx, &params, &mut results) {
            Ok(()) => {
                let returned = Event::Returned(format!("{:?}", taken(results, cx)));
                cx.data_mut().events.push(returned);
                // What was lent to a guest has come back. It is taken and not dropped: belljar runs the destructor of a
                // resource that the host entered and drops, and Wasmtime only that of one that came from a guest.
                for (param, ty) in params.into_iter().zip(&case.ty.params) {
                    if let (Val::Resource(resource), Type::Borrow) = (param, ty) {
                        resource.try_into_resource::<Host>(&mut *cx).expect("it is the host's");
                    }
                }
            }
            Err(error) if is_exhausted(&error) => cx.data_mut().events.push(Event::Exhausted),
            Err(error) => {
                if std::env::var_os("FUZZ_MODULE").is_some() {
                    eprintln!("{}: {error:?}", module_path!());
                }
                cx.data_mut().events.push(Event::Failed);
                // belljar closes the instance. Wasmtime does not where the host failed to lift a result.
                break;
            }
        }
    }
    std::mem::take(&mut store.data_mut().events)
}

/// Defines what guests import.
fn linker(case: &Arc<Case>) -> Result<Linker<Host>, Error> {
    let mut linker = Linker::<Host>::new(engine());
    let mut root = linker.root();
    root.resource("r", ResourceType::host::<Host>(), |mut cx: Cx<'_>, resource| {
        cx.data_mut().events.push(Event::Dropped(resource));
        Ok(())
    })?;
    root.func_wrap("asked", |mut cx: Cx<'_>, (sum,): (u64,)| {
        cx.data_mut().events.push(Event::Asked(sum));
        Ok(())
    })?;
    let case = case.clone();
    root.func_new("f", move |mut cx: Cx<'_>, _, params: &[Val], results: &mut [Val]| {
        let seen = Event::Seen(format!("{:?}", taken(params.to_vec(), &mut cx)));
        let host = cx.data_mut();
        host.events.push(seen);
        host.calls += 1;
        if case.fails_at == Some(host.calls) {
            return Err(Error::msg("the host fails"));
        }
        if let Some(ty) = &case.ty.result {
            results[0] = value(ty, &mut cx);
        }
        Ok(())
    })?;
    Ok(linker)
}

/// Takes resources out of values. What is left can be compared: numbers that are none look the same.
fn taken(values: Vec<Val>, cx: &mut Cx<'_>) -> Vec<Val> {
    let one = |value: Box<Val>, cx: &mut Cx<'_>| taken(vec![*value], cx).pop().map(Box::new);
    let all = values.into_iter().map(|value| match value {
        Val::Resource(resource) => {
            let resource = resource.try_into_resource::<Host>(&mut *cx).expect("it is of this type");
            let what = if resource.owned() { "own" } else { "borrow" };
            Val::String(format!("{what} {}", resource.rep()))
        }
        Val::List(values) => Val::List(taken(values, cx)),
        Val::FixedLengthList(values) => Val::FixedLengthList(taken(values, cx)),
        Val::Tuple(values) => Val::Tuple(taken(values, cx)),
        Val::Map(entries) => {
            let entries = entries.into_iter().map(|(key, value)| Val::Tuple(taken(vec![key, value], cx)));
            Val::List(entries.collect())
        }
        Val::Record(fields) => {
            let (names, values): (Vec<_>, _) = fields.into_iter().unzip();
            Val::Record(names.into_iter().zip(taken(values, cx)).collect())
        }
        Val::Variant(name, value) => Val::Variant(name, value.and_then(|value| one(value, cx))),
        Val::Option(value) => Val::Option(value.and_then(|value| one(value, cx))),
        Val::Result(Ok(value)) => Val::Result(Ok(value.and_then(|value| one(value, cx)))),
        Val::Result(Err(value)) => Val::Result(Err(value.and_then(|value| one(value, cx)))),
        // Which bits a number has that is none may differ: the specification lets engines choose.
        Val::Float32(number) if number.is_nan() => Val::Float32(f32::NAN),
        Val::Float64(number) if number.is_nan() => Val::Float64(f64::NAN),
        other => other,
    });
    all.collect()
}

/// Makes a value of a type.
fn value(ty: &Type, cx: &mut Cx<'_>) -> Val {
    let boxed = |ty: &Option<Box<Type>>, cx: &mut Cx<'_>| ty.as_ref().map(|ty| Box::new(value(ty, cx)));
    let bits = cx.data_mut().next();
    let below = |count: usize| bits as usize % count;
    let name = |i: usize| format!("n{i}");
    match ty {
        Type::Bool => Val::Bool(bits & 1 != 0),
        Type::S8 => Val::S8(bits as i8),
        Type::U8 => Val::U8(bits as u8),
        Type::S16 => Val::S16(bits as i16),
        Type::U16 => Val::U16(bits as u16),
        Type::S32 => Val::S32(bits as i32),
        Type::U32 => Val::U32(bits as u32),
        Type::S64 => Val::S64(bits as i64),
        Type::U64 => Val::U64(bits),
        Type::Float32 => Val::Float32(f32::from_bits(bits as u32)),
        Type::Float64 => Val::Float64(f64::from_bits(bits)),
        Type::Char => Val::Char(character(bits)),
        Type::String => Val::String(string(bits, cx)),
        Type::List(ty) => Val::List((0..length(bits)).map(|_| value(ty, cx)).collect()),
        Type::FixedLengthList(ty, length) => {
            Val::FixedLengthList((0..*length).map(|_| value(ty, cx)).collect())
        }
        Type::Map(key, ty) => Val::Map((0..length(bits)).map(|_| (value(key, cx), value(ty, cx))).collect()),
        Type::Record(types) => {
            Val::Record(types.iter().enumerate().map(|(i, ty)| (name(i), value(ty, cx))).collect())
        }
        Type::Tuple(types) => Val::Tuple(types.iter().map(|ty| value(ty, cx)).collect()),
        Type::Variant(cases) => {
            let case = below(cases.len());
            Val::Variant(name(case), cases[case].as_ref().map(|ty| Box::new(value(ty, cx))))
        }
        Type::Enum(count) => Val::Enum(name(below(*count as usize))),
        Type::Option(ty) => Val::Option((bits & 1 != 0).then(|| Box::new(value(ty, cx)))),
        Type::Result(ok, err) => {
            Val::Result(if bits & 1 != 0 { Ok(boxed(ok, cx)) } else { Err(boxed(err, cx)) })
        }
        Type::Flags(count) => {
            Val::Flags((0..*count).filter(|i| bits >> i & 1 != 0).map(|i| name(i as usize)).collect())
        }
        Type::Own | Type::Borrow => {
            cx.data_mut().resources += 1;
            let resource = Resource::<Host>::new_own(cx.data_mut().resources);
            Val::Resource(resource.try_into_resource_any(&mut *cx).expect("a guest has this type"))
        }
    }
}

/// The length of a list: some are long enough for code that takes several elements at once.
fn length(bits: u64) -> u64 {
    match bits % 16 {
        15 => 20 + bits / 16 % 100,
        other => other / 2,
    }
}

fn character(bits: u64) -> char {
    const ENDS: [u32; 5] = [0x80, 0x100, 0x800, 0x1_0000, 0x11_0000];
    char::from_u32((bits >> 8) as u32 % ENDS[bits as usize % ENDS.len()]).unwrap_or('\u{e000}')
}

fn string(bits: u64, cx: &mut Cx<'_>) -> String {
    const LENGTHS: [u64; 12] = [0, 1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 65];
    let length = LENGTHS[(bits >> 8) as usize % LENGTHS.len()];
    let first = bits >> 16;
    match bits % 4 {
        0 => (0..length).map(|i| char::from((first.wrapping_add(i) % 0x80) as u8)).collect(),
        1 => (0..length).map(|i| char::from(first.wrapping_add(i) as u8)).collect(),
        // A wide character after many narrow ones makes a conversion start again.
        2 => (0..length).map(|i| char::from(b'a' + (i % 26) as u8)).chain([character(first)]).collect(),
        _ => (0..length % 20).map(|_| character(cx.data_mut().next())).collect(),
    }
}
