//! Finds the name that a mistyped one was meant to be.

use strsim::osa_distance;

/// The most candidates that are compared: names may come from an untrusted module, which can have any number.
const MAX_CANDIDATES: usize = 10_000;

/// The most characters of a name that is compared by its edits, for the same reason.
const MAX_CHARS: usize = 64;

/// Returns the candidate that a name was probably meant to be: one that differs only in case and punctuation, otherwise
/// the one that needs the fewest edits (insertions, deletions, replacements, and swaps of neighbors). Returns `None` if
/// all need many edits for the name's length.
///
/// ```
/// use belljar_core::similar_name;
/// assert_eq!(similar_name("run", ["ran", "Run"]), Some("Run"));
/// assert_eq!(similar_name("lenght", ["left", "length"]), Some("length"));
/// assert_eq!(similar_name("start", ["stop", "resume"]), None);
/// ```
pub fn similar_name<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (folded, length_wanted) = (fold(wanted), length(wanted));
    let mut best = None;
    for candidate in candidates.into_iter().take(MAX_CANDIDATES).filter(|candidate| *candidate != wanted) {
        if !folded.is_empty() && fold(candidate) == folded {
            return Some(candidate);
        }
        let (Some(one), Some(other)) = (length_wanted, length(candidate)) else { continue };
        let most = (one.max(other).max(3) / 3).min(one.min(other));
        if one.abs_diff(other) > most {
            continue;
        }
        let edits = osa_distance(wanted, candidate);
        if edits <= most && edits < other && best.is_none_or(|(least, _)| edits < least) {
            best = Some((edits, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Returns the name without case and punctuation, as which names of different conventions are the same.
fn fold(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Returns the number of a name's characters, if it is short enough to be compared.
fn length(name: &str) -> Option<usize> {
    let chars = name.chars().take(MAX_CHARS + 1).count();
    (chars <= MAX_CHARS).then_some(chars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_of_several_is_taken() {
        let names = ["compile", "completion", "profile", "kill", "key", "ps", "Compile"];
        for (wanted, expected) in [
            ("compille", Some("compile")),
            ("COMPILE", Some("compile")),
            ("profiel", Some("profile")),
            ("com_pile", Some("compile")),
            ("kil", Some("kill")),
            ("sp", Some("ps")),
            ("xy", None),
            ("x", None),
            ("", None),
            ("kill", None),
        ] {
            assert_eq!(similar_name(wanted, names), expected, "{wanted}");
        }
        assert_eq!(similar_name("a", ["b", "c"]), None);
        assert_eq!(similar_name("_", ["-", ""]), None);
        assert_eq!(similar_name("start", ["_start"]), Some("_start"));
    }

    #[test]
    fn hostile_names_cost_little() {
        let long = "a".repeat(1 << 20);
        assert_eq!(similar_name(&long, [&*"b".repeat(1 << 20)]), None);
        assert_eq!(similar_name(&long, [&*"A".repeat(1 << 20)]), Some(&*"A".repeat(1 << 20)));
        let many: Vec<String> = (0..2 * MAX_CANDIDATES).map(|i| format!("name{i}")).collect();
        assert_eq!(similar_name("nameX", many.iter().map(|name| &**name)), Some("name0"));
    }
}
