//! Names of WIT as Rust writes them.

use proc_macro2::{Ident, Span};
use wit_parser::{Function, FunctionKind};

/// The words that cannot be identifiers of Rust, in any edition.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while", "yield",
];

fn words(name: &str) -> impl Iterator<Item = String> {
    name.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Returns a name as `snake_case`.
pub(crate) fn snake(name: &str) -> String {
    words(name).collect::<Vec<_>>().join("_")
}

/// Returns a name as `SHOUTY_SNAKE_CASE`.
pub(crate) fn shouty(name: &str) -> String {
    snake(name).to_uppercase()
}

/// Returns a name as `UpperCamelCase`.
pub(crate) fn camel(name: &str) -> String {
    let mut text = String::new();
    for word in words(name) {
        let mut chars = word.chars();
        text.extend(chars.next().into_iter().flat_map(char::to_uppercase));
        text.push_str(chars.as_str());
    }
    text
}

/// Creates an identifier of text that is one.
pub(crate) fn raw(text: &str) -> Ident {
    Ident::new(text, Span::call_site())
}

/// Returns the identifier of a function, a parameter, a field or a module. Keywords get an underscore: `type_`.
pub(crate) fn value(name: &str) -> Ident {
    let mut text = snake(name);
    if KEYWORDS.contains(&&*text) {
        text.push('_');
    }
    raw(&text)
}

/// Returns the text of a type's identifier. `Host_` is not the trait `Host`, and `Self` is a keyword.
pub(crate) fn type_text(name: &str) -> String {
    let mut text = camel(name);
    if text == "Host" || text == "Self" {
        text.push('_');
    }
    text
}

/// Returns the identifier of a type.
pub(crate) fn type_name(name: &str) -> Ident {
    raw(&type_text(name))
}

/// Returns the identifier of a case of a variant or an enum.
pub(crate) fn case(name: &str) -> Ident {
    match camel(name) {
        text if text == "Self" => raw("Self_"),
        text => raw(&text),
    }
}

/// Returns the identifier of the method that the host implements for a function.
pub(crate) fn host_method(func: &Function) -> Ident {
    match func.kind {
        FunctionKind::Constructor(_) => raw("new"),
        _ => value(&item(func)),
    }
}

/// Returns a function's name within its interface or resource.
pub(crate) fn item(func: &Function) -> String {
    match func.kind {
        FunctionKind::Setter | FunctionKind::MethodSetter(_) | FunctionKind::StaticSetter(_) => {
            format!("set-{}", func.item_name())
        }
        _ => func.item_name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_wit_become_identifiers() {
        assert_eq!(snake("a-b2-HTTP"), "a_b2_http");
        assert_eq!(camel("a-b2-HTTP"), "AB2Http");
        assert_eq!(shouty("read-only"), "READ_ONLY");
        assert_eq!(value("type").to_string(), "type_");
        assert_eq!(value("typed").to_string(), "typed");
        assert_eq!(type_text("host"), "Host_");
        assert_eq!(type_text("host-name"), "HostName");
        assert_eq!(case("self").to_string(), "Self_");
    }
}
