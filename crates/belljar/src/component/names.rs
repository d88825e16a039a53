//! Names with versions: `wasi:io/streams@0.2.3`.
//!
//! A version stands for all that are compatible with it by the rules of semantic versioning: the same major version; for
//! 0.y, the same minor version; for 0.0.z and prereleases, only itself.

use std::sync::Arc;

/// The version of a name, if it has one that others can be compatible with: its parts, and how many of them have to be
/// equal.
fn version(name: &str) -> Option<(&str, [u64; 3], usize)> {
    let (base, version) = name.split_once('@')?;
    // What follows a `+` does not count.
    let version = version.split('+').next().unwrap_or_default();
    let mut parts = [0; 3];
    let mut count = 0;
    for part in version.split('.') {
        *parts.get_mut(count)? = part.parse().ok()?;
        count += 1;
    }
    let equal = match parts {
        _ if count != 3 => return None,
        [0, 0, _] => 3,
        [0, _, _] => 2,
        _ => 1,
    };
    Some((base, parts, equal))
}

/// Returns whether something with one name can be used for another name.
pub(super) fn are_compatible(have: &str, want: &str) -> bool {
    if have == want {
        return true;
    }
    match (version(have), version(want)) {
        (Some((a, have, equal)), Some((b, want, _))) => a == b && have[..equal] == want[..equal],
        _ => false,
    }
}

/// Returns the item with a name. If there is none, the newest one with a compatible version.
pub(super) fn find<'a, T: 'a>(
    items: impl IntoIterator<Item = &'a (Arc<str>, T)>,
    name: &str,
) -> Option<&'a T> {
    let mut best: Option<(&T, [u64; 3])> = None;
    for (found, item) in items {
        if **found == *name {
            return Some(item);
        }
        if let Some((_, parts, _)) = version(found).filter(|_| are_compatible(found, name))
            && best.is_none_or(|(_, newest)| newest < parts)
        {
            best = Some((item, parts));
        }
    }
    best.map(|(item, _)| item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_for_compatible_ones() {
        for (have, want, yes) in [
            ("a:b/c@1.0.0", "a:b/c@1.0.5", true),
            ("a:b/c@1.0.0", "a:b/c@1.2.0", true),
            ("a:b/c@1.0.0", "a:b/c@2.0.0", false),
            ("a:b/c@0.2.6", "a:b/c@0.2.0", true),
            ("a:b/c@0.2.6", "a:b/c@0.3.0", false),
            ("a:b/c@0.0.1", "a:b/c@0.0.2", false),
            ("a:b/c@0.0.1", "a:b/c@0.0.1", true),
            ("a:b/c@0.3.0-rc-1", "a:b/c@0.3.0", false),
            ("a:b/c@0.3.0-rc-1", "a:b/c@0.3.0-rc-1", true),
            ("a:b/c@1.0.0+x", "a:b/c@1.0.0+y", true),
            ("a:b/d@1.0.0", "a:b/c@1.0.0", false),
            ("c", "c", true),
            ("c@1.0.0", "c", false),
            ("a:b/c@1.0.0.0", "a:b/c@1.0.0", false),
        ] {
            assert_eq!(are_compatible(have, want), yes, "{have} for {want}");
        }
        let items = ["a@1.0.0", "a@1.4.0", "a@1.3.0", "a@2.0.0"].map(|name| (Arc::from(name), name));
        assert_eq!(find(&items, "a@1.3.0"), Some(&"a@1.3.0"));
        assert_eq!(find(&items, "a@1.3.5"), Some(&"a@1.4.0"));
        assert_eq!(find(&items, "a@3.0.0"), None);
        assert_eq!(find(&items, "a"), None);
    }
}
