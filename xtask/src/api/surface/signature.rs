//! Prints tokens on one line, spaced as in formatted code.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::ToTokens;

/// Words that are followed by a space, whatever comes next.
const KEYWORDS: &[&str] = &["as", "const", "dyn", "impl", "mut", "where"];

/// Operators of several characters that occur in types and signatures.
const OPERATORS: &[&str] = &["->", "::", "=>", "..", "..=", "=="];

/// Returns tokens as text.
pub(super) fn tidy(tokens: TokenStream) -> String {
    let mut text = String::new();
    put(tokens, &mut text);
    text.trim().to_owned()
}

fn put(tokens: TokenStream, text: &mut String) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(_) | TokenTree::Literal(_) => put_word(&token.to_string(), text),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => (" { ", " }"),
                    Delimiter::None => ("", ""),
                };
                separate(text);
                text.push_str(open);
                let start = text.len();
                put(group.stream(), text);
                // A comma before the end is for several lines.
                let content = text.trim_end().trim_end_matches(',').len().max(start);
                text.truncate(content);
                text.push_str(close);
            }
            TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                if let Some(name) = tokens.next() {
                    put_word(&format!("'{name}"), text);
                }
            }
            TokenTree::Punct(punct) => {
                let mut operator = punct.as_char().to_string();
                while let Some(TokenTree::Punct(next)) = tokens.peek() {
                    let longer = format!("{operator}{}", next.as_char());
                    if !OPERATORS.contains(&longer.as_str()) {
                        break;
                    }
                    operator = longer;
                    tokens.next();
                }
                put_operator(&operator, text);
            }
        }
    }
}

fn put_operator(operator: &str, text: &mut String) {
    match operator {
        "," | ":" | ";" => {
            text.push_str(operator);
            text.push(' ');
        }
        "->" | "=" | "+" | "=>" | "==" => {
            if !text.ends_with(' ') {
                text.push(' ');
            }
            text.push_str(operator);
            text.push(' ');
        }
        "&" | "*" | "?" => {
            if text.ends_with(|last: char| last.is_alphanumeric()) {
                text.push(' ');
            }
            text.push_str(operator);
        }
        _ => {
            separate(text);
            text.push_str(operator);
        }
    }
}

fn put_word(word: &str, text: &mut String) {
    if text.ends_with(|last: char| last.is_alphanumeric() || matches!(last, '_' | ')' | ']' | '}' | '>')) {
        text.push(' ');
    }
    text.push_str(word);
}

/// Puts a space after a keyword or a lifetime that is not the argument of a type.
fn separate(text: &mut String) {
    let word =
        text.rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == '\'')).next().unwrap_or_default();
    let lifetime = word.starts_with('\'') && text[..text.len() - word.len()].ends_with('&');
    if KEYWORDS.contains(&word) || lifetime {
        text.push(' ');
    }
}

/// Returns a type without lifetimes and without the modules of its names.
pub(super) fn short(tokens: &impl ToTokens) -> String {
    let mut words: Vec<TokenTree> = Vec::new();
    shorten(tokens.to_token_stream(), &mut words);
    let text = tidy(words.into_iter().collect());
    text.replace("<, ", "<").replace("<>", "")
}

fn shorten(tokens: TokenStream, words: &mut Vec<TokenTree>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                tokens.next();
            }
            TokenTree::Group(group) => {
                let mut content = Vec::new();
                shorten(group.stream(), &mut content);
                words.push(Group::new(group.delimiter(), content.into_iter().collect()).into());
            }
            // `a::B` is `B`.
            TokenTree::Punct(punct) if punct.as_char() == ':' => {
                if matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':') {
                    tokens.next();
                    if matches!(words.last(), Some(TokenTree::Ident(_))) {
                        words.pop();
                    }
                } else {
                    words.push(punct.into());
                }
            }
            // So do some crates call the `Error` of the standard library, beside their own.
            TokenTree::Ident(word) if word == "StdError" => {
                words.push(Ident::new("Error", word.span()).into());
            }
            token => words.push(token),
        }
    }
}
