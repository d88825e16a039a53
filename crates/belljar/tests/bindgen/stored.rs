//! Functions of the host that get the store, and calls that are reported to `tracing`.

use crate::guests;
use belljar::component::{Access, Component, HasSelf, Linker, Resource};
use belljar::{AsContext, AsContextMut, Engine, Result, Store};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

belljar::component::bindgen!({
    path: "tests/bindgen/wit/stored",
    imports: {
        "[constructor]thing": store,
        "[drop]thing": store,
        "add": store | trappable,
    },
});

mod traced {
    belljar::component::bindgen!({
        path: "tests/bindgen/wit/stored",
        imports: { default: tracing | trappable },
        exports: { default: tracing },
    });
}

#[derive(Default)]
struct State {
    sum: u32,
    dropped: Vec<u32>,
}

impl HostThing for State {
    fn get(&mut self, self_: Resource<Thing>) -> u32 {
        self_.rep()
    }
}

/// Functions that get the store are those of the type that stands for the data, whatever the store's data is.
impl<T> HostThingWithStore<T> for HasSelf<State> {
    fn new(mut host: Access<'_, T, Self>, value: u32) -> Resource<Thing> {
        host.get().sum += 1;
        Resource::new_own(value * 2)
    }

    fn drop(mut host: Access<'_, T, Self>, rep: Resource<Thing>) -> Result<()> {
        host.get().dropped.push(rep.rep());
        Ok(())
    }
}

impl StoredImports for State {
    fn plain(&mut self, text: String) -> u32 {
        self.sum + text.len() as u32
    }
}

impl<T> StoredImportsWithStore<T> for HasSelf<State> {
    fn add(mut host: Access<'_, T, Self>, value: u32) -> Result<u32> {
        // The store itself, and the data.
        assert!(host.as_context_mut().get_fuel().is_err());
        assert!(host.as_context().get_fuel().is_err());
        belljar::ensure!(value < 1000, "too much");
        host.get().sum += value;
        Ok(host.get().sum)
    }
}

fn component(engine: &Engine) -> Component {
    let imports = r#"
        (import "$root" "[constructor]thing" (func $new (param i32) (result i32)))
        (import "$root" "[method]thing.get" (func $get (param i32) (result i32)))
        (import "$root" "[resource-drop]thing" (func $drop (param i32)))
        (import "$root" "add" (func $add (param i32) (result i32)))
        (import "$root" "plain" (func $plain (param i32 i32) (result i32)))"#;
    let text = r#"
        (func (export "run") (param i32) (result i32) (local $thing i32)
            (local.set $thing (call $new (local.get 0)))
            (drop (call $add (call $get (local.get $thing))))
            (call $drop (local.get $thing))
            (call $plain (i32.const 0) (i32.const 3)))"#;
    guests::component(engine, "stored", "stored", imports, text)
}

#[test]
fn functions_get_the_store() {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    Stored::add_to_linker::<_, HasSelf<State>>(&mut linker, |(_, state): &mut (u8, State)| state).unwrap();
    let mut store = Store::new(&engine, (0, State::default()));
    let stored = Stored::instantiate(&mut store, &component(&engine), &linker).unwrap();
    assert_eq!(stored.call_run(&mut store, 20).unwrap(), 1 + 40 + 3);
    assert_eq!(store.data().1.dropped, [40]);
    assert_eq!(stored.call_run(&mut store, 500).unwrap_err().to_string(), "too much");
}

/// Writes down what is reported.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl Subscriber for Log {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = span.metadata().name().to_owned();
        span.record(&mut Text(&mut text));
        self.0.lock().unwrap().push(text);
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = "-".to_owned();
        event.record(&mut Text(&mut text));
        self.0.lock().unwrap().push(text);
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

struct Traced;

impl traced::HostThing for Traced {
    fn new(&mut self, value: u32) -> Result<Resource<traced::Thing>> {
        Ok(Resource::new_own(value))
    }

    fn get(&mut self, self_: Resource<traced::Thing>) -> Result<u32> {
        Ok(self_.rep())
    }

    fn drop(&mut self, _rep: Resource<traced::Thing>) -> Result<()> {
        Ok(())
    }
}

impl traced::StoredImports for Traced {
    fn add(&mut self, value: u32) -> Result<u32> {
        Ok(value)
    }

    fn plain(&mut self, text: String) -> Result<u32> {
        Ok(text.len() as u32)
    }
}

#[test]
fn calls_are_reported() {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    traced::Stored::add_to_linker::<_, HasSelf<_>>(&mut linker, |traced| traced).unwrap();
    let mut store = Store::new(&engine, Traced);
    let stored = traced::Stored::instantiate(&mut store, &component(&engine), &linker).unwrap();
    let log = Log::default();
    let returned = tracing::subscriber::with_default(log.clone(), || stored.call_run(&mut store, 9));
    assert_eq!(returned.unwrap(), 3);
    let log = log.0.lock().unwrap();
    assert_eq!(log[0], "wit-bindgen export module=\"default\" function=\"run\"");
    assert_eq!(log[1], "wit-bindgen import module=\"stored\" function=\"[constructor]thing\"");
    assert_eq!(log[2], "- message=call value=9");
    assert_eq!(log[3], "- message=return result=Ok(Resource { rep: 9, owned: true })");
    assert_eq!(log.last().unwrap(), "- message=return result=Ok(3)");
}
