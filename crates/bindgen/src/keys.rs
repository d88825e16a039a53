//! The names by which options refer to parts of a world: `ns:pkg/iface@1.0.0.item`, with or without its version, and for
//! whole interfaces also the package or the namespace.

use crate::names::{type_text, value};
use wit_parser::{PackageId, Resolve, WorldKey};

/// A name that an option may use, and the Rust names that lead from what it names to what was looked up.
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) rest: Vec<String>,
}

fn without_version(id: &str) -> &str {
    id.split('@').next().unwrap_or(id)
}

fn packages(resolve: &Resolve, package: PackageId) -> [String; 3] {
    let name = &resolve.packages[package].name;
    let with_version = name.to_string();
    [with_version.clone(), without_version(&with_version).to_owned(), name.namespace.clone()]
}

/// Returns the names that stand for exactly this interface.
pub(crate) fn of_interface(resolve: &Resolve, key: &WorldKey) -> Vec<String> {
    match key {
        WorldKey::Name(name) => vec![name.clone()],
        WorldKey::Interface(id) => match resolve.id_of(*id) {
            Some(id) if without_version(&id) == id => vec![id],
            Some(id) => vec![id.clone(), without_version(&id).to_owned()],
            None => Vec::new(),
        },
    }
}

/// Returns the names that stand for an interface, or for an item of it, beginning with the most precise one.
pub(crate) fn of(resolve: &Resolve, key: &WorldKey, item: Option<&str>) -> Vec<Key> {
    let exact = of_interface(resolve, key);
    let mut keys = Vec::new();
    let mut rest = Vec::new();
    if let Some(item) = item {
        // `ns:pkg/iface/item` is how older releases of Wasmtime wrote it.
        for separator in [".", "/"] {
            keys.extend(
                exact.iter().map(|name| Key { name: format!("{name}{separator}{item}"), rest: Vec::new() }),
            );
        }
        rest.push(type_text(item));
    }
    let WorldKey::Interface(id) = key else {
        if item.is_none() {
            keys.extend(exact.into_iter().map(|name| Key { name, rest: Vec::new() }));
        }
        return keys;
    };
    keys.extend(exact.into_iter().map(|name| Key { name, rest: rest.clone() }));
    let interface = &resolve.interfaces[*id];
    if let (Some(package), Some(name)) = (interface.package, &interface.name) {
        rest.insert(0, value(name).to_string());
        let [with_version, without, namespace] = packages(resolve, package);
        keys.extend([with_version, without].map(|name| Key { name, rest: rest.clone() }));
        rest.insert(0, value(&resolve.packages[package].name.name).to_string());
        keys.push(Key { name: namespace, rest });
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_what_they_contain() {
        let mut resolve = Resolve::default();
        let wit = "package a:b-c@1.2.3; interface d-e { resource f; } world w { import d-e; }";
        resolve.push_str("test.wit", wit).unwrap();
        let (id, _) = resolve.interfaces.iter().next().unwrap();
        let names = |item| {
            let keys = of(&resolve, &WorldKey::Interface(id), item).into_iter();
            keys.map(|key| format!("{} {}", key.name, key.rest.join("::"))).collect::<Vec<_>>()
        };
        let interface = ["a:b-c/d-e@1.2.3 ", "a:b-c/d-e ", "a:b-c@1.2.3 d_e", "a:b-c d_e", "a b_c::d_e"];
        assert_eq!(names(None), interface);
        let item = [
            "a:b-c/d-e@1.2.3.f ",
            "a:b-c/d-e.f ",
            "a:b-c/d-e@1.2.3/f ",
            "a:b-c/d-e/f ",
            "a:b-c/d-e@1.2.3 F",
            "a:b-c/d-e F",
            "a:b-c@1.2.3 d_e::F",
            "a:b-c d_e::F",
            "a b_c::d_e::F",
        ];
        assert_eq!(names(Some("f")), item);
        let inline = of(&resolve, &WorldKey::Name("g".into()), Some("f"));
        assert_eq!(inline.iter().map(|key| &*key.name).collect::<Vec<_>>(), ["g.f", "g/f"]);
    }
}
