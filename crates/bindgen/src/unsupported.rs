//! What WIT has and belljar has not.

use proc_macro2::Span;
use syn::{Error, Result};
use wit_parser::{Function, FunctionKind, LiveTypes, Resolve, Type, TypeDefKind, WorldId, WorldItem};

/// Checks that a world has nothing that belljar has not.
///
/// # Errors
///
/// Returns an error with the place in the WIT.
pub(crate) fn check(resolve: &Resolve, world: WorldId) -> Result<()> {
    let refused = |span, what: String| {
        Err(Error::new(Span::call_site(), format!("{}: {what}", resolve.render_location(span))))
    };
    let mut live = LiveTypes::default();
    live.add_world(resolve, world);
    for id in live.iter() {
        let ty = &resolve.types[id];
        let what = match &ty.kind {
            TypeDefKind::Future(_) => "futures",
            TypeDefKind::Stream(_) => "streams",
            _ => continue,
        };
        return refused(ty.span, format!("the world has {what}, which belljar does not have yet"));
    }
    let world = &resolve.worlds[world];
    for item in world.imports.values().chain(world.exports.values()) {
        for func in functions(resolve, item) {
            let name = &func.name;
            if is_async(func) {
                let what = format!(
                    "the function `{name}` is `async`, and belljar has no asynchronous functions yet"
                );
                return refused(func.span, what);
            }
            if func.parameter_and_result_types().any(|ty| ty == Type::ErrorContext) {
                let what =
                    format!("the function `{name}` has an `error-context`, which belljar does not have yet");
                return refused(func.span, what);
            }
        }
    }
    Ok(())
}

fn functions<'a>(resolve: &'a Resolve, item: &'a WorldItem) -> Vec<&'a Function> {
    match item {
        WorldItem::Function(func) => vec![func],
        WorldItem::Interface { id, .. } => resolve.interfaces[*id].functions.values().collect(),
        WorldItem::Type { .. } => Vec::new(),
    }
}

fn is_async(func: &Function) -> bool {
    matches!(
        func.kind,
        FunctionKind::AsyncFreestanding | FunctionKind::AsyncMethod(_) | FunctionKind::AsyncStatic(_)
    )
}
