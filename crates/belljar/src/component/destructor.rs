//! The ends of resources.

use super::exit::{attempt, leave};
use super::guest::{call_core, number_func};
use super::linked::HostDestructor;
use super::state::{Destructor, InnerId, StoreComponents};
use crate::{Result, StoreContextMut};
use belljar_component::Passed;
use belljar_core::bail;

/// Runs the destructor of a resource. `by` is the inner instance that drops it, if it is not the host.
pub(super) fn destroy<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    passed: Passed,
    by: Option<InnerId>,
) -> Result<()> {
    let components = StoreComponents::of_mut(store.0.core_mut());
    let state = components.resource_types[passed.ty.0 as usize].clone();
    match (state.destructor, state.of) {
        (Destructor::Guest(func), Some(of)) => {
            if by != Some(of) {
                components.check_open(of.instance)?;
            }
            let running = components.running();
            let func = number_func(store, of.instance, &func)?;
            let ended = attempt(|| call_core(store, &func, &[u64::from(passed.rep)]).map(drop));
            leave(store, of.instance, running, ended)
        }
        (Destructor::Host(destructor), _) => match destructor.downcast_ref::<HostDestructor<T>>() {
            Some(destructor) => (destructor.0)(StoreContextMut::new(&mut *store.0), passed.rep),
            None => bail!("belljar bug: a destructor for another store"),
        },
        _ => Ok(()),
    }
}
