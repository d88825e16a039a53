//! Snapshots of components: instances that continue in other engines, with their handles.

use belljar::component::{Component, InstancePre, Linker, Resource, ResourceType};
use belljar::{ArtifactOptions, Config, Engine, Result, SandboxTemplate, Store, Trust, UserKey};

const USER: &str = "my:test/user@1.0.0";

struct Thing;

fn engine() -> Engine {
    let mut config = Config::new();
    config.trust(Trust { user: Some(UserKey::from_bytes([7; 32])), ..Trust::default() });
    Engine::new(&config).unwrap()
}

fn linker(engine: &Engine) -> Linker<u32> {
    let mut linker = Linker::<u32>::new(engine);
    let mut host = linker.instance("host").unwrap();
    host.resource("thing", ResourceType::host::<Thing>(), |_, _| Ok(())).unwrap();
    host.func_wrap("make", |_, (): ()| Ok((Resource::<Thing>::new_own(5),))).unwrap();
    host.func_wrap("read", |_, (thing,): (Resource<Thing>,)| Ok((thing.rep(),))).unwrap();
    host.func_wrap("end", |_, (how,): (u32,)| Ok((how,))).unwrap();
    linker
}

fn pre(engine: &Engine, component: &Component) -> InstancePre<u32> {
    linker(engine).instantiate_pre(component).unwrap()
}

fn component(engine: &Engine) -> Component {
    Component::new(engine, include_str!("component_sandbox.wat")).unwrap()
}

struct Guest {
    store: Store<u32>,
    instance: belljar::component::Instance,
}

impl Guest {
    fn new(pre: &InstancePre<u32>) -> Result<Self> {
        let mut store = Store::new(pre.engine(), 0);
        let instance = pre.instantiate(&mut store)?;
        Ok(Self { store, instance })
    }

    fn run(&mut self, op: &str) -> Result<()> {
        self.instance.get_typed_func::<(), ()>(&self.store, [USER, op])?.call(&mut self.store, ())
    }

    fn ask(&mut self, op: &str) -> Result<u32> {
        let func = self.instance.get_typed_func::<(), (u32,)>(&self.store, [USER, op])?;
        func.call(&mut self.store, ()).map(|(n,)| n)
    }

    fn tell(&mut self, op: &str, x: u32) -> Result<u32> {
        let func = self.instance.get_typed_func::<(u32,), (u32,)>(&self.store, [USER, op])?;
        func.call(&mut self.store, (x,)).map(|(n,)| n)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>> {
        self.store.snapshot(b"warm", ArtifactOptions::new())
    }
}

/// The answers of a guest after its initialization, and what it does next.
fn answers(guest: &mut Guest) -> Vec<u32> {
    let text = |guest: &mut Guest| {
        let echo = guest.instance.get_typed_func::<(&str,), (String,)>(&guest.store, [USER, "echo"]).unwrap();
        echo.call(&mut guest.store, ("häufig € 𝄞",)).unwrap().0.len() as u32
    };
    vec![
        guest.ask("size").unwrap(),
        guest.tell("peek", 70000).unwrap(),
        guest.tell("get", 1).unwrap(),
        guest.ask("dropped").unwrap(),
        guest.ask("seven").unwrap(),
        text(guest),
        guest.tell("add", 1).unwrap(),
        // The next free number of the table of handles.
        guest.tell("new", 77).unwrap(),
        guest.tell("get", 2).unwrap(),
        guest.ask("make").unwrap(),
    ]
}

#[test]
fn a_snapshot_continues_in_another_engine() {
    let first = engine();
    let mut guest = Guest::new(&pre(&first, &component(&first))).unwrap();
    guest.run("warm-up").unwrap();
    let snapshot = guest.snapshot().unwrap();
    let expected = answers(&mut guest);
    assert_eq!(expected, [2, 4711, 3, 40, 7, 16, 101, 2, 77, 3]);

    let other = engine();
    let component = Component::deserialize(&other, &snapshot).unwrap();
    assert!(component.has_snapshot());
    assert_eq!(component.snapshot_note().unwrap().as_deref(), Some(&b"warm"[..]));
    let pre = pre(&other, &component);
    for _ in 0..2 {
        let mut again = Guest::new(&pre).unwrap();
        assert_eq!(answers(&mut again), expected);
    }

    // A snapshot of a snapshot.
    let mut again = Guest::new(&pre).unwrap();
    again.tell("add", 50).unwrap();
    let second = again.snapshot().unwrap();
    let component = Component::deserialize(&other, second).unwrap();
    let mut third = Guest::new(&linker(&other).instantiate_pre(&component).unwrap()).unwrap();
    assert_eq!(third.tell("add", 0).unwrap(), 150);

    // And sandboxes start from it.
    let template = SandboxTemplate::new(pre, || Ok(0)).verify(true);
    let (mut one, mut two) = (template.build().unwrap(), template.build().unwrap());
    for _ in 0..3 {
        let (mut first, mut second) = (one.session().unwrap(), two.session().unwrap());
        for session in [&mut first, &mut second] {
            assert_eq!(session.call::<(u32,), (u32,)>([USER, "get"], (1,)).unwrap(), (3,));
            assert_eq!(session.call::<(u32,), (u32,)>([USER, "add"], (1,)).unwrap(), (101,));
            assert_eq!(session.call::<(), (u32,)>([USER, "make"], ()).unwrap(), (2,));
        }
    }
}

#[test]
fn what_a_snapshot_cannot_contain_is_an_error() {
    let engine = engine();
    let component = component(&engine);
    let pre = pre(&engine, &component);
    let fails = |guest: &mut Guest, start: &str| {
        let error = guest.snapshot().unwrap_err().to_string();
        assert!(error.starts_with(start), "{error}");
    };
    let mut guest = Guest::new(&pre).unwrap();
    guest.ask("make").unwrap();
    fails(&mut guest, "the guest holds resources of the host, which a snapshot cannot contain: ");

    let mut guest = Guest::new(&pre).unwrap();
    guest.run("trap").unwrap_err();
    fails(&mut guest, "the instance cannot be entered any more, since an earlier call ended with: ");

    let mut guest = Guest::new(&pre).unwrap();
    pre.instantiate(&mut guest.store).unwrap();
    fails(
        &mut guest,
        "a snapshot needs a store with one instance of a component, and this one has 2 instances",
    );

    let mut guest = Guest::new(&pre).unwrap();
    belljar::Memory::new(&mut guest.store, belljar::MemoryType::new(1, None)).unwrap();
    fails(&mut guest, "the host has created entities in the store, which a snapshot cannot contain");

    let mut guest = Guest::new(&pre).unwrap();
    let snapshot = guest.snapshot().unwrap();
    let component = Component::deserialize(&engine, snapshot).unwrap();
    let error = linker(&engine).instantiate(&mut guest.store, &component).unwrap_err();
    assert!(format!("{error:#}").contains("must be the first of its store"), "{error:#}");
}

#[test]
fn a_changed_snapshot_is_refused() {
    let engine = engine();
    let mut guest = Guest::new(&pre(&engine, &component(&engine))).unwrap();
    guest.run("warm-up").unwrap();
    let snapshot = guest.snapshot().unwrap();
    let step = snapshot.len() / 211;
    let pads =
        |at: usize| snapshot[at] == 0 && snapshot[at.saturating_sub(64)..=at].iter().all(|byte| *byte == 0);
    for at in (0..snapshot.len()).step_by(step) {
        let mut changed = snapshot.clone();
        changed[at] ^= 0x10;
        // Nobody reads the zeros between the parts.
        if let Ok(component) = Component::deserialize(&engine, &changed) {
            assert!(pads(at), "byte {at} of {} was changed", snapshot.len());
            drop(component);
        }
    }
    for length in [0, 8, 80, 4096, snapshot.len() - 1] {
        assert!(Component::deserialize(&engine, &snapshot[..length]).is_err(), "{length}");
    }
}
