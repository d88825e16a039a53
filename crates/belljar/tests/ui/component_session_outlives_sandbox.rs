//! The store of a session cannot be used after the session, nor the session after its sandbox.

use belljar::component::InstancePre;
use belljar::{Sandbox, Session, Store};

fn store_of_a_session(sandbox: &mut Sandbox<(), InstancePre<()>>) {
    let store: &mut Store<()> = sandbox.session().unwrap().store();
    store.data();
}

fn session_of_a_sandbox(mut sandbox: Sandbox<(), InstancePre<()>>) -> Session<'static, (), InstancePre<()>> {
    sandbox.session().unwrap()
}

fn two_sessions(sandbox: &mut Sandbox<(), InstancePre<()>>) {
    let first = sandbox.session().unwrap();
    let second = sandbox.session().unwrap();
    drop((first, second));
}

fn main() {}
