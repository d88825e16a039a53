//! Functions of components that take a context, called with handles of store A and a context that alternates between A
//! and B.

use crate::Row;
use crate::store_pair::{Shifty, Things};
use belljar::component::{
    Access, Component, Func, Instance, Linker, Resource, ResourceAny, ResourceType, Val,
};
use belljar::{Engine, Result};

/// Ignores the result: the same checks follow for all attacks.
fn any<R>(_result: R) {}

macro_rules! rows {
    ($($name:literal: |$context:ident| $attack:expr;)*) => {
        &[$(($name, Row::Context(|_: &Things, $context: &mut Shifty<'_>| any($attack)))),*]
    };
}

/// The Rust type that stands for a resource type of the host.
struct Number;

/// A guest that makes resources of its own, and keeps one of the host's.
const WAT: &str = r#"(component
    (import "number" (type $number (sub resource)))
    (import "ask" (func $ask (param "own" (borrow $number)) (result string)))
    (core module $libc
        (memory (export "memory") 1)
        (global $top (mut i32) (i32.const 64))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.get $top) (global.set $top (i32.add (global.get $top) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -16))))))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "memory" (core memory $memory))
    (alias core export $libc "realloc" (core func $realloc))
    (core func $ask (canon lower (func $ask) (memory $memory) (realloc $realloc)))
    (core func $drop (canon resource.drop $number))
    (type $own' (resource (rep i32)))
    (core func $new (canon resource.new $own'))
    (core module $m
        (import "host" "ask" (func $ask (param i32 i32)))
        (import "host" "drop" (func $drop (param i32)))
        (import "host" "new" (func $new (param i32) (result i32)))
        (func (export "echo") (param i32) (result i32)
            (call $ask (local.get 0) (i32.const 16)) (call $drop (local.get 0)) (i32.const 16))
        (func (export "make") (result i32) (call $new (i32.const 5))))
    (core instance $m (instantiate $m (with "host" (instance
        (export "ask" (func $ask)) (export "drop" (func $drop)) (export "new" (func $new))))))
    (export $own "own" (type $own'))
    (func (export "echo") (param "n" (own $number)) (result string)
        (canon lift (core func $m "echo") (memory $memory) (realloc $realloc)))
    (func (export "make") (result (own $own)) (canon lift (core func $m "make")))
    (core module $inner (func (export "f")))
    (export "inner" (core module $inner)))"#;

fn linker(engine: &Engine) -> Result<Linker<i32>> {
    let mut linker = Linker::new(engine);
    linker.root().resource("number", ResourceType::host::<Number>(), |_, _| Ok(()))?;
    linker.root().func_new("ask", |mut store, _, params, results| {
        let Val::Resource(any) = params[0] else { belljar::bail!("no resource") };
        let number = any.try_into_resource::<Number>(&mut store)?.rep();
        results[0] = Val::String(format!("{} of {}", number, store.data()));
        Ok(())
    })?;
    Ok(linker)
}

fn component(context: &mut Shifty<'_>) -> Component {
    Component::new(context.honest().engine(), WAT).unwrap()
}

fn instance(context: &mut Shifty<'_>) -> Instance {
    let component = component(context);
    linker(context.honest().engine()).unwrap().instantiate(context.honest(), &component).unwrap()
}

fn func(context: &mut Shifty<'_>, name: &str) -> Func {
    instance(context).get_func(&*context.honest(), name).unwrap()
}

fn number(context: &mut Shifty<'_>) -> ResourceAny {
    instance(context);
    Resource::<Number>::new_own(7).try_into_resource_any(context.honest()).unwrap()
}

fn call(context: &mut Shifty<'_>) {
    let echo = func(context, "echo");
    let number = number(context);
    let mut results = [Val::Bool(false)];
    if echo.call(&mut *context, &[Val::Resource(number)], &mut results).is_ok() {
        let own = *context.honest().data();
        assert_eq!(results[0], Val::String(format!("7 of {own}")));
    }
    // It was passed on, or is still there: never twice.
    any(echo.call(&mut *context, &[Val::Resource(number)], &mut results));
    assert!(echo.call(context.honest(), &[Val::Resource(number)], &mut results).is_err());
}

pub(crate) const ROWS: &[(&str, Row)] = rows! {
    "Instance::get_func_at": |c| { let i = instance(c); i.get_func_at(&*c, &["echo"]) };
    "Instance::get_export_index": |c| { let i = instance(c); i.get_export_index(&*c, None, "echo") };
    "Instance::instance_pre": |c| {
        let i = instance(c);
        let pre = i.instance_pre(&*c);
        pre.instantiate(&mut *c).map(|i| i.get_func(c, "make").is_some())
    };
    "Instance::get_module": |c| { let i = instance(c); i.get_module(&*c, "inner") };
    "Instance::get_resource": |c| { let i = instance(c); i.get_resource(&*c, "own") };
    "TypedFunc<Params,Return>::call": |c| {
        let echo = func(c, "echo");
        let typed = echo.typed::<(&Resource<Number>,), (String,)>(&*c);
        let number = Resource::<Number>::new_own(7);
        if let Ok(typed) = typed
            && let Ok((said,)) = typed.call(&mut *c, (&number,))
        {
            let own = *c.honest().data();
            assert_eq!(said, format!("7 of {own}"));
            assert!(typed.call(c.honest(), (&number,)).is_err());
        }
    };
    "also: component::Func::typed": |c| { let f = func(c, "make"); f.typed::<(), (Resource<Number>,)>(&*c) };
    "also: component::Func::call": |c| call(c);
    "also: component::Func::call, a guest's resource": |c| {
        let make = func(c, "make");
        let mut results = [Val::Bool(false)];
        if make.call(&mut *c, &[], &mut results).is_ok() && let Val::Resource(made) = results[0] {
            any(made.resource_drop(&mut *c));
            any(made.resource_drop(c.honest()));
            assert!(made.resource_drop(c.honest()).is_err());
        }
    };
    "also: component::Func::ty": |c| { let f = func(c, "echo"); f.ty(&*c) };
    "also: component::TypedFunc::call, a guest's resource": |c| {
        let make = func(c, "make").typed::<(), (ResourceAny,)>(c.honest()).unwrap();
        if let Ok((made,)) = make.call(&mut *c, ()) {
            any(made.resource_drop(&mut *c));
            any(made.resource_drop(c.honest()));
            assert!(made.resource_drop(c.honest()).is_err());
        }
    };
    "also: component::TypedFunc::call, a resource of another store": |c| {
        let echo = func(c, "echo").typed::<(ResourceAny,), (String,)>(c.honest()).unwrap();
        let number = number(c);
        if let Ok((said,)) = echo.call(&mut *c, (number,)) {
            let own = *c.honest().data();
            assert_eq!(said, format!("7 of {own}"));
        }
        any(echo.call(&mut *c, (number,)));
        assert!(echo.call(c.honest(), (number,)).is_err());
    };
    "also: component::Instance::get_typed_func": |c| {
        let i = instance(c);
        let make = i.get_typed_func::<(), (ResourceAny,)>(&*c, "make");
        make.and_then(|make| make.call(c, ()))
    };
    "also: component::Access": |c| {
        let mut store = belljar::AsContextMut::as_context_mut(&mut *c);
        let mut access = Access::<i32>::new(belljar::AsContextMut::as_context_mut(&mut store), |data| data);
        let own = *access.get();
        assert_eq!(own, *access.data_mut());
    };
    "also: component::Instance::get_func": |c| { let i = instance(c); i.get_func(&*c, "echo") };
    "also: component::Linker::instantiate": |c| {
        let component = component(c);
        let linker = linker(c.honest().engine()).unwrap();
        let instance = linker.instantiate(&mut *c, &component);
        instance.map(|i| i.get_func(&*c, "make").map(|f| f.call(c, &[], &mut [Val::Bool(false)])))
    };
    "also: component::InstancePre::instantiate": |c| {
        let component = component(c);
        let pre = linker(c.honest().engine()).unwrap().instantiate_pre(&component).unwrap();
        pre.instantiate(&mut *c).map(|i| i.get_func(c, "make").is_some())
    };
    "also: component::LinkerInstance::exports_of": |c| {
        let i = instance(c);
        let mut linker = linker(c.honest().engine()).unwrap();
        any(linker.instance("other").unwrap().exports_of(&*c, i));
        let component = Component::new(c.honest().engine(), r#"(component
            (import "other" (instance (export "own" (type $own (sub resource))) (export "make" (func (result (own $own)))))))"#);
        linker.instantiate(c, &component.unwrap())
    };
    "also: component::Resource::try_into_resource_any": |c| {
        instance(c);
        any(Resource::<Number>::new_borrow(1).try_into_resource_any(&mut *c));
        Resource::<Number>::new_own(1).try_into_resource_any(c)
    };
    "also: component::Resource::try_from_resource_any": |c| {
        let n = number(c);
        any(Resource::<String>::try_from_resource_any(n, &mut *c));
        Resource::<Number>::try_from_resource_any(n, c)
    };
    "also: component::ResourceAny::try_into_resource": |c| { let n = number(c); n.try_into_resource::<Number>(c) };
    "also: component::ResourceAny::resource_drop": |c| { let n = number(c); n.resource_drop(c) };
};
