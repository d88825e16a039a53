//! Says which function an instance exports instead of one that was asked for.

use crate::instance::Instance;
use belljar_core::{OutsideText, similar_name};
use belljar_vm::{Entity, StoreCore};

/// How many exports a message lists.
const MOST_LISTED: usize = 12;

/// Returns the names of an instance's exported functions.
fn functions(core: &StoreCore, instance: Instance) -> impl Iterator<Item = &str> {
    let exports = core.instance_module(instance.id()).module().exports().iter();
    let is_func =
        move |name: &str| matches!(core.instance_export(instance.id(), name), Some(Entity::Func(_)));
    exports.map(|export| &*export.name).filter(move |name| is_func(name))
}

/// Describes the functions that an instance exports: `only `run``, or `no exported function`.
pub(crate) fn exported_functions(core: &StoreCore, instance: Instance) -> String {
    let names: Vec<&str> = functions(core, instance).collect();
    let listed: Vec<String> =
        names.iter().take(MOST_LISTED).map(|name| format!("`{}`", OutsideText::new(name))).collect();
    match names.len().checked_sub(MOST_LISTED) {
        _ if names.is_empty() => "no exported function".into(),
        None | Some(0) => format!("only {}", listed.join(", ")),
        Some(1) => format!("{} and 1 other function", listed.join(", ")),
        Some(more) => format!("{} and {more} other functions", listed.join(", ")),
    }
}

/// Returns the message for a function that is not exported: with the name that may be meant, otherwise with the names
/// that are exported.
pub(crate) fn no_function(core: &StoreCore, instance: Instance, name: &str) -> String {
    let shown = OutsideText::new(name);
    match similar_name(name, functions(core, instance)) {
        Some(similar) => {
            let similar = OutsideText::new(similar);
            format!("the instance has no export named `{shown}`: did you mean `{similar}`?")
        }
        None => {
            let others = exported_functions(core, instance);
            format!("the instance has no export named `{shown}`: found {others}")
        }
    }
}
