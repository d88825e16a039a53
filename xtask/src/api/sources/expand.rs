//! Expands `macro_rules!`: enough of it to see the items that a macro writes.
//!
//! In: the rules, and the tokens of an invocation. Out: the tokens that the first matching rule produces.
//!
//! The expansion is not hygienic, and matched fragments other than expressions are not grouped: only names and signatures
//! of items are read from the result, and these do not depend on it.

use anyhow::{Context, Result, bail, ensure};
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::HashMap;
use syn::parse::{ParseStream, Parser};

/// A macro that was defined by `macro_rules!`.
pub(crate) struct MacroRules {
    /// Matchers and transcribers.
    rules: Vec<(Vec<Pattern>, Vec<Pattern>)>,
}

/// A part of a rule's matcher or transcriber.
enum Pattern {
    Token(TokenTree),
    Group(Delimiter, Vec<Pattern>),
    /// `$name:kind` in a matcher, and `$name` in a transcriber, where the kind is empty.
    Variable {
        name: String,
        kind: String,
    },
    Repeat {
        inner: Vec<Pattern>,
        separator: Option<TokenTree>,
        operator: char,
    },
    /// `$crate`
    Crate,
}

/// What a variable of a rule matched.
#[derive(Clone)]
enum Bound {
    Tokens(Vec<TokenTree>),
    Each(Vec<Bound>),
}

type Bindings = HashMap<String, Bound>;

impl MacroRules {
    /// Reads the rules of a macro.
    pub(crate) fn new(tokens: TokenStream) -> Result<Self> {
        let mut rules = Vec::new();
        let mut tokens = tokens.into_iter().peekable();
        while let Some(matcher) = tokens.next() {
            let TokenTree::Group(matcher) = matcher else { bail!("a rule starts with a group") };
            for arrow in ['=', '>'] {
                ensure!(
                    matches!(tokens.next(), Some(TokenTree::Punct(punct)) if punct.as_char() == arrow),
                    "`=>` follows what a rule matches"
                );
            }
            let Some(TokenTree::Group(body)) = tokens.next() else { bail!("a rule writes a group") };
            rules.push((patterns(matcher.stream(), true)?, patterns(body.stream(), false)?));
            if matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == ';') {
                tokens.next();
            }
        }
        Ok(Self { rules })
    }

    /// Returns what the macro produces for these tokens. `$crate` becomes `crate`.
    pub(crate) fn expand(&self, tokens: TokenStream) -> Result<TokenStream> {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (matcher, body) in &self.rules {
            let mut bindings = Bindings::new();
            if let Some(end) = matched_len(matcher, &tokens, &mut bindings)
                && end == tokens.len()
            {
                let mut written = Vec::new();
                transcribe(body, &bindings, &mut written)?;
                return Ok(written.into_iter().collect());
            }
        }
        bail!("no rule matches these tokens")
    }
}

fn patterns(tokens: TokenStream, matcher: bool) -> Result<Vec<Pattern>> {
    let mut parts = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '$' => match tokens.next() {
                Some(TokenTree::Ident(name)) if name == "crate" => parts.push(Pattern::Crate),
                Some(TokenTree::Ident(name)) => {
                    let mut kind = String::new();
                    if matcher {
                        tokens.next();
                        kind = tokens.next().context("a variable has a kind")?.to_string();
                    }
                    parts.push(Pattern::Variable { name: name.to_string(), kind });
                }
                Some(TokenTree::Group(group)) => {
                    let (mut separator, mut operator) = (None, ' ');
                    for token in tokens.by_ref() {
                        match &token {
                            TokenTree::Punct(punct) if matches!(punct.as_char(), '*' | '+' | '?') => {
                                operator = punct.as_char();
                                break;
                            }
                            _ => separator = Some(token),
                        }
                    }
                    parts.push(Pattern::Repeat {
                        inner: patterns(group.stream(), matcher)?,
                        separator,
                        operator,
                    });
                }
                other => bail!("`$` before {other:?}"),
            },
            TokenTree::Group(group) => {
                parts.push(Pattern::Group(group.delimiter(), patterns(group.stream(), matcher)?));
            }
            token => parts.push(Pattern::Token(token)),
        }
    }
    Ok(parts)
}

/// Returns the number of tokens that the patterns match at the start of `tokens`.
fn matched_len(patterns: &[Pattern], tokens: &[TokenTree], bindings: &mut Bindings) -> Option<usize> {
    let mut at = 0;
    for pattern in patterns {
        match pattern {
            Pattern::Token(expected) => {
                (expected.to_string() == tokens.get(at)?.to_string()).then_some(())?;
                at += 1;
            }
            Pattern::Group(delimiter, inner) => {
                let TokenTree::Group(group) = tokens.get(at)? else { return None };
                (group.delimiter() == *delimiter).then_some(())?;
                let content: Vec<TokenTree> = group.stream().into_iter().collect();
                (matched_len(inner, &content, bindings)? == content.len()).then_some(())?;
                at += 1;
            }
            Pattern::Variable { name, kind } => {
                let len = fragment(kind, &tokens[at..])?;
                let mut matched = tokens[at..at + len].to_vec();
                if kind.starts_with("expr") && len > 1 {
                    matched = vec![Group::new(Delimiter::Parenthesis, matched.into_iter().collect()).into()];
                }
                bindings.insert(name.clone(), Bound::Tokens(matched));
                at += len;
            }
            Pattern::Repeat { inner, separator, operator } => {
                let mut names = Vec::new();
                variables(inner, &mut names);
                let mut matched: HashMap<String, Vec<Bound>> = HashMap::new();
                let mut count = 0;
                while !(*operator == '?' && count == 1) {
                    let mut start = at;
                    if let (Some(separator), true) = (separator, count > 0) {
                        match tokens.get(start) {
                            Some(token) if token.to_string() == separator.to_string() => start += 1,
                            _ => break,
                        }
                    }
                    let mut each = Bindings::new();
                    match matched_len(inner, &tokens[start..], &mut each) {
                        // A repetition that takes no token would not end.
                        Some(len) if start + len > at => at = start + len,
                        _ => break,
                    }
                    for (name, bound) in each {
                        matched.entry(name).or_default().push(bound);
                    }
                    count += 1;
                }
                (*operator != '+' || count > 0).then_some(())?;
                for name in names {
                    let each = matched.remove(&name).unwrap_or_default();
                    bindings.insert(name, Bound::Each(each));
                }
            }
            Pattern::Crate => return None,
        }
    }
    Some(at)
}

/// Collects the variables of patterns.
fn variables(patterns: &[Pattern], names: &mut Vec<String>) {
    for pattern in patterns {
        match pattern {
            Pattern::Variable { name, .. } => names.push(name.clone()),
            Pattern::Group(_, inner) | Pattern::Repeat { inner, .. } => variables(inner, names),
            Pattern::Token(_) | Pattern::Crate => {}
        }
    }
}

/// Returns the number of tokens of a fragment of this kind at the start of `tokens`.
fn fragment(kind: &str, tokens: &[TokenTree]) -> Option<usize> {
    fn skip<T: syn::parse::Parse>(input: ParseStream<'_>) -> syn::Result<()> {
        input.parse::<T>().map(|_| ())
    }
    let first = tokens.first();
    let is_punct = |token: Option<&TokenTree>, wanted: char| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted);
    let parse: fn(ParseStream<'_>) -> syn::Result<()> = match kind {
        "ident" => return matches!(first, Some(TokenTree::Ident(_))).then_some(1),
        "lifetime" => return is_punct(first, '\'').then_some(2),
        "tt" => return first.map(|_| if is_punct(first, '\'') { 2 } else { 1 }),
        "literal" if matches!(first, Some(TokenTree::Ident(word)) if word == "true" || word == "false") => {
            return Some(1);
        }
        "literal" => {
            let len = 1 + usize::from(is_punct(first, '-'));
            return matches!(tokens.get(len - 1), Some(TokenTree::Literal(_))).then_some(len);
        }
        "ty" => skip::<syn::Type>,
        "path" => skip::<syn::Path>,
        "expr" | "expr_2021" => skip::<syn::Expr>,
        "vis" => skip::<syn::Visibility>,
        "block" => skip::<syn::Block>,
        "item" => skip::<syn::Item>,
        "meta" => skip::<syn::Meta>,
        "stmt" => skip::<syn::Stmt>,
        "pat" => |input| syn::Pat::parse_multi(input).map(|_| ()),
        "pat_param" => |input| syn::Pat::parse_single(input).map(|_| ()),
        _ => return None,
    };
    let count = |input: ParseStream<'_>| {
        parse(input)?;
        let rest: TokenStream = input.parse()?;
        Ok(rest.into_iter().count())
    };
    let rest = count.parse2(tokens.iter().cloned().collect()).ok()?;
    Some(tokens.len() - rest)
}

fn transcribe(patterns: &[Pattern], bindings: &Bindings, written: &mut Vec<TokenTree>) -> Result<()> {
    for pattern in patterns {
        match pattern {
            Pattern::Token(token) => written.push(token.clone()),
            Pattern::Group(delimiter, inner) => {
                let mut content = Vec::new();
                transcribe(inner, bindings, &mut content)?;
                written.push(Group::new(*delimiter, content.into_iter().collect()).into());
            }
            Pattern::Crate => written.push(Ident::new("crate", Span::call_site()).into()),
            Pattern::Variable { name, .. } => match bindings.get(name) {
                Some(Bound::Tokens(tokens)) => written.extend(tokens.iter().cloned()),
                Some(Bound::Each(_)) => bail!("`${name}` repeats"),
                // A variable of a macro that this one defines.
                None => {
                    let dollar = proc_macro2::Punct::new('$', proc_macro2::Spacing::Alone);
                    written.extend(dollar.to_token_stream());
                    written.push(Ident::new(name, Span::call_site()).into());
                }
            },
            Pattern::Repeat { inner, separator, .. } => {
                let mut names = Vec::new();
                variables(inner, &mut names);
                let counts = names.iter().filter_map(|name| match bindings.get(name) {
                    Some(Bound::Each(each)) => Some(each.len()),
                    _ => None,
                });
                let count = counts.max().context("nothing repeats in a repetition")?;
                for i in 0..count {
                    if let (Some(separator), true) = (separator, i > 0) {
                        written.push(separator.clone());
                    }
                    let mut each = bindings.clone();
                    for name in &names {
                        if let Some(Bound::Each(bound)) = bindings.get(name)
                            && let Some(bound) = bound.get(i)
                        {
                            each.insert(name.clone(), bound.clone());
                        }
                    }
                    transcribe(inner, &each, written)?;
                }
            }
        }
    }
    Ok(())
}
