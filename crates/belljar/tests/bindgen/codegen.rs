//! WIT as WASI writes it, in all ways that `bindgen!` has: what it generates compiles, and has the names that it should.

use belljar::component::{Component, HasData, HasSelf, Linker, Resource, ResourceType};
use belljar::{Engine, Result};

macro_rules! worlds {
    ($($name:ident { $($options:tt)* })*) => {$(
        mod $name {
            belljar::component::bindgen!({ path: "tests/bindgen/wit/system", $($options)* });
        }
    )*};
}

worlds! {
    command { world: "command" }
    plugin { world: "plugin" }
    plugin_borrowing { world: "plugin", ownership: Borrowing { duplicate_if_necessary: true } }
    plugin_sharing { world: "plugin", ownership: Borrowing { duplicate_if_necessary: false } }
    plugin_traced {
        world: "plugin",
        imports: { default: tracing | trappable },
        exports: { default: tracing | verbose_tracing },
    }
    plugin_anyhow { world: "plugin", imports: { default: trappable }, anyhow: true, skip_mut_forwarding_impls: true }
    plugin_send { world: "plugin", require_store_data_send: true, additional_derives: [Debug] }
    only_interfaces { world: "plugin", only_interfaces: true, with: { "example:clocks@0.4.0": super::command::example::clocks0_4_0 } }
    plugin_with {
        world: "plugin",
        with: {
            "example:streams": super::command::example::streams,
            "example:clocks/wall-clock": super::command::example::clocks0_4_0::wall_clock,
            "example:files@0.4.0": super::command::example::files,
            "example:net/tcp/tcp-socket": super::Socket,
            "session": super::Session,
            "console.color": super::Session,
        },
    }
    namespace {
        world: "imports",
        with: {
            "example": super::command::example,
            // Where there are several versions, each has to be named.
            "example:clocks@0.4.0": super::command::example::clocks0_4_0,
            "example:clocks@0.1.0": super::command::example::clocks0_1_0,
        },
    }
    store { world: "plugin", imports: { default: store | trappable } }
    in_file { world: "plugin", include_generated_code_from_file: true }
    by_path { world: "plugin", wasmtime_crate: belljar }
}

#[expect(unreachable_pub, reason = "a private type cannot be named again")]
pub struct Socket;

#[expect(unreachable_pub, reason = "a private type cannot be named again")]
pub struct Session;

mod interfaces {
    belljar::component::bindgen!({
        path: "tests/bindgen/wit/system",
        interfaces: "import example:streams/poll@0.4.0;",
    });
}

/// One error of Rust for several of WIT, one of which another interface uses by another name.
mod errors {
    use super::{Resource, Result};
    use example::net::network;

    #[expect(dead_code, reason = "nothing fails")]
    pub(super) struct StreamError;
    #[expect(dead_code, reason = "nothing fails")]
    pub(super) struct Failed(u8);

    belljar::component::bindgen!({
        path: "tests/bindgen/wit/system",
        world: "plugin",
        imports: { default: trappable },
        trappable_error_type: {
            "example:streams/streams.stream-error" => StreamError,
            "example:files/types@0.4.0.error-code" => Failed,
            "example:net/network.error-code" => Failed,
        },
    });

    impl network::Host for super::State {
        fn code_of(&mut self, _err: Resource<network::Error>) -> Result<Option<network::ErrorCode>> {
            Ok(None)
        }

        fn convert_error_code(&mut self, err: Failed) -> Result<network::ErrorCode> {
            belljar::ensure!(err.0 > 0, "no error");
            Ok(network::ErrorCode::Timeout)
        }
    }

    impl network::HostNetwork for super::State {
        fn drop(&mut self, _rep: Resource<network::Network>) -> Result<()> {
            Ok(())
        }
    }
}

struct State;

/// The names of the interface `type`.
fn names() {
    use command::example::system::type_::{Error, Host_, Option, Result, Self_, String, Vec};
    let _ = Self_ { fn_: 1, async_: Some(Result::Option(Option::Self_)) };
    let _: Vec = vec![String::new()];
    let _ = (Host_::TYPE | Host_::A1_B2, Error::Eq);
}

#[test]
fn names_are_those_of_wasmtime() {
    names();
    // The package with two versions has them in its modules' names, and the others have none.
    let _ = command::example::clocks0_1_0::ticks::add_to_linker::<State, Ticks>;
    let _ = command::example::streams::poll::add_to_linker_instance::<State, Polls>;
    let _: fn(&plugin::Plugin) -> &plugin::exports::handlers::Guest = plugin::Plugin::handlers;
    let _: fn(&plugin::Plugin) -> &plugin::exports::example::system::run::Guest =
        plugin::Plugin::example_system_run;
    let _ = |guest: &plugin::exports::handlers::Guest| {
        let _: plugin::exports::handlers::GuestHandler<'_> = guest.handler();
    };
    // What `with` names is the same type.
    let _: fn(
        namespace::example::clocks0_4_0::wall_clock::Datetime,
    ) -> command::example::clocks0_4_0::wall_clock::Datetime = |same| same;
    let _: fn(Resource<plugin_with::example::net::tcp::TcpSocket>) -> Resource<Socket> = |same| same;
    let _: fn(Resource<plugin_with::Session>) -> Resource<Session> = |same| same;
    let _: fn(plugin::File) -> plugin::example::files::types::Descriptor = |same| same;
    assert_ne!(
        ResourceType::host::<plugin::Session>(),
        ResourceType::host::<plugin::example::files::types::Descriptor>()
    );
}

struct Ticks;
struct Polls;

impl HasData for Ticks {
    type Data<'a> = Nothing;
}

impl HasData for Polls {
    type Data<'a> = Nothing;
}

struct Nothing;

impl command::example::clocks0_1_0::ticks::Host for Nothing {
    fn ticks(&mut self) -> u64 {
        0
    }
}

impl command::example::streams::poll::Host for Nothing {
    fn poll(&mut self, in_: Vec<Resource<command::example::streams::poll::Pollable>>) -> Vec<u32> {
        (0..in_.len() as u32).collect()
    }
}

impl command::example::streams::poll::HostPollable for Nothing {
    fn ready(&mut self, self_: Resource<command::example::streams::poll::Pollable>) -> bool {
        self_.owned()
    }

    fn block(&mut self, _self_: Resource<command::example::streams::poll::Pollable>) {}

    fn drop(&mut self, _rep: Resource<command::example::streams::poll::Pollable>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn unstable_parts_are_defined_if_they_are_wanted() {
    use errors::example::net::network::{LinkOptions, add_to_linker};
    let engine = Engine::default();
    let text = r#"(component (import "example:net/network@0.4.0" (instance (export "code-of" (func)))))"#;
    let component = Component::new(&engine, text).unwrap();
    for wanted in [false, true] {
        let mut linker = Linker::<State>::new(&engine);
        let mut options = LinkOptions::default();
        options.network_error_code(wanted);
        add_to_linker::<_, HasSelf<_>>(&mut linker, &options, |state| state).unwrap();
        let linked = linker.instantiate_pre(&component);
        assert_eq!(linked.is_ok(), wanted, "{linked:?}");
    }
    // The options of a world contain those of its interfaces.
    let mut options = errors::LinkOptions::default();
    options.network_error_code(true).clocks_timezone(true).exit_with_code(true);
    let options: LinkOptions = options.into();
    assert!(format!("{options:?}").contains("network_error_code: true"));
}

#[test]
fn generated_code_names_the_crate_as_the_user_does() {
    let code: &str = belljar::component::bindgen!({
        path: "tests/bindgen/wit/system",
        world: "plugin",
        stringify: true,
        wasmtime_crate: wasmtime,
    });
    // Where tokens have space between them is not defined.
    let code: String = code.split_whitespace().collect();
    assert!(code.contains("wasmtime::component::Linker<_T>") && !code.contains("belljar"));
    // What is derived does so too.
    let types =
        code.matches("::component::ComponentType)]").count() + code.matches("::component::flags!").count();
    assert!(types > 0);
    assert_eq!(code.matches("#[component(wasmtime_crate=wasmtime)]").count(), types);
}
